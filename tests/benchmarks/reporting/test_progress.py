"""What a running evaluation shows in a terminal and in a pipe; every name and error is hostile and inert."""

import io
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from act_gym.types import Turn
from benchmarks.reporting.progress import LINE_EVERY, Progress, one_line, watch

ROOT = Path(__file__).parents[3]
HOSTILE = "\x1b[2J\x1b]0;owned\x07[red]blood[/red] \u202etxet\u2066 \r\nsecond line \x9b31m"
AGENT = f"""
from act_gym import AgentError, AgentAction

class Nasty:
    name = {HOSTILE!r}
    def act(self, views):
        if views[0].task.id.endswith("0"):
            raise AgentError({HOSTILE!r})
        return [AgentAction(action={HOSTILE!r}, prompt_tokens=7, completion_tokens=2) for view in views]
"""


def record(**parts) -> dict:
    return {
        "env_id": "act/Test-seen",
        "task_id": "test/1",
        "task_type": "kind",
        "seed": 0,
        "success": False,
        "turns": 3,
        "score": 0.5,
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "stop": "truncated",
        "error": "",
        **parts,
    }


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_hostile_text_becomes_one_short_harmless_line():
    line = one_line(HOSTILE)
    assert line == "␛[2J␛]0;owned␇[red]blood[/red] [U+202E]txet[U+2066] second line �31m"
    assert one_line("x" * 1_000_000, 20) == "x" * 19 + "…"
    assert one_line("\ud800 lone") == "� lone"


def test_speed_counts_what_this_run_played_and_success_all_of_it():
    clock = Clock()
    earlier = [record(success=True), record(task_id="test/2")]
    progress = Progress({"act/Test-seen": 6}, earlier, clock=clock)
    assert progress.line().startswith("act/Test-seen 2/6 50.0 % [9.5, 90.5] | ")
    progress.add(record(task_id="test/3", success=True))
    progress.add(record(task_id="test/4", stop="agent_error", error="no memory"))
    clock.now = 30.0
    assert progress.line() == (
        "act/Test-seen 4/6 50.0 %, 1 errors | 0:30 · 4.0 episodes/min · tokens/s: 7 read, 0.7 written · about 0:30 left"
    )
    assert progress.failures == {"step limit": 1, "agent_error: no memory": 1}


def test_tokens_that_were_counted_by_turns_are_not_counted_again():
    clock = Clock()
    progress = Progress({"act/Test-seen": 2}, clock=clock)
    progress.turn(Turn(observation="", prompt_tokens=60, completion_tokens=6))
    clock.now = 10.0
    assert progress.figures() == "0:10 · tokens/s: 6 read, 0.6 written"
    progress.turn(Turn(observation="", prompt_tokens=40, completion_tokens=4))
    progress.add(record())
    assert progress.figures() == "0:10 · 6.0 episodes/min · tokens/s: 10 read, 1.0 written · about 0:10 left"


def test_seeds_of_one_task_make_no_interval_narrower():
    once, often = (Progress({"act/Test-seen": 9}) for _ in range(2))
    for task in range(3):
        for seed in range(3):
            often.add(record(task_id=f"test/{task}", seed=seed, success=task == 0))
        once.add(record(task_id=f"test/{task}", success=task == 0))
    assert often.splits["act/Test-seen"].success == once.splits["act/Test-seen"].success


def test_a_pipe_gets_a_line_now_and_then_and_one_at_the_end():
    clock, pipe = Clock(), io.StringIO()
    progress = Progress({"act/Test-seen": 40}, clock=clock)
    with watch(progress, pipe) as show:
        for number in range(40):
            clock.now += 1.0
            show(record(task_id=f"test/{number}", error=HOSTILE, stop="env_error"))
    lines = pipe.getvalue().splitlines()
    assert len(lines) == 40 / LINE_EVERY + 1
    assert lines[-1].startswith("act/Test-seen 40/40 0.0 %, 40 errors")
    assert "\x1b" not in pipe.getvalue()


@pytest.fixture
def command(tmp_path) -> Iterator[list[str]]:
    (tmp_path / "nasty_agent.py").write_text(AGENT, encoding="utf-8")
    words = ["eval", "--agent", "nasty_agent:Nasty", "--env", "act/ALFWorld-generated-seen", "--limit", "6"]
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from act_gym.cli import main; sys.exit(main())"
    return [sys.executable, "-c", script, *words, "--max-turns", "2", "--workers", "1", "--out", str(tmp_path / "run")]


def test_a_terminal_shows_a_live_view_in_which_hostile_text_is_inert(command, tmp_path):
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "160", "LINES": "50"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65_536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait() == 0, shown.decode()
    text = shown.decode()
    assert "\x1b[?25l" in text  # drawn live: the cursor is hidden meanwhile
    assert "6/6" in text
    assert "episodes/min" in text
    assert "tokens/s" in text
    assert "[red]blood[/red]" in text
    for harm in ("\x1b[2J", "\x1b]0;", "\x07", "\u202e", "\u2066", "\x9b"):
        assert harm not in text


def test_a_pipe_gets_plain_lines_and_the_table(command, tmp_path):
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert process.stderr.splitlines()[-1].startswith("act/ALFWorld-generated-seen 6/6 0.0 % [")
    for harm in ("\x1b", "\x07", "\u202e", "\u2066", "\x9b"):
        assert harm not in process.stdout + process.stderr
    assert "ALFWorld generated-seen" in process.stdout
