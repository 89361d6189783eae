import io
import json
import re
import sys
from contextlib import closing
from pathlib import Path
from subprocess import run

import gymnasium as gym
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from act_gym.io.jsonl import read_records
from act_gym.types import Episode
from agents.human import Game, Screen, clean, matching

TASK = "scienceworld/boil/21"


def play(lines: list[str], *arguments: str) -> str:
    done = run(
        [sys.executable, "-W", "error", "-m", "agents.human", "act/ScienceWorld-seen", "--task", TASK, *arguments],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_game_through_a_pipe_is_plain_lines_and_is_saved_without_what_was_taken_back(tmp_path: Path) -> None:
    pytest.importorskip("scienceworld", reason="Run: pip install -e '.[scienceworld]'")
    file = tmp_path / "mine.jsonl"
    shown = play(
        ["open door to kitchen", "?kitchen door", "xyzzy", ":undo", "[bold]x", ":history", ":nonsense", ":quit"],
        *("--max-turns", "2", "--save", str(file)),
    )
    assert "\x1b" not in shown
    assert "> open door to kitchen\n\nThe door is now open." in shown
    assert "Undid “xyzzy”: started the task again and replayed 1 action." in shown
    assert "[bold]x" in shown
    assert "(not understood)" in shown
    assert "There is no :nonsense" in shown
    (record,) = read_records(file)
    episode = Episode.from_json(json.loads(json.dumps(record)))
    assert [turn.action for turn in episode.turns] == ["open door to kitchen", "[bold]x"]
    assert (episode.agent, episode.stop, episode.task.id) == ("human", "truncated", TASK)


def test_a_hint_is_the_experts_next_command_and_marks_the_episode(tmp_path: Path) -> None:
    pytest.importorskip("scienceworld", reason="Run: pip install -e '.[scienceworld]'")
    file = tmp_path / "mine.jsonl"
    lines = [":hint", "look around", ":hint", "open door to kitchen", ":hint", "go to kitchen", ":hint", "1"]
    shown = play(lines, "--max-turns", "4", "--save", str(file))
    assert shown.startswith("Starting ScienceWorld")
    before, *hints = re.findall(r"The expert's next command: (.*)", shown)
    assert before == hints[0] == "open door to kitchen"  # looking around changes nothing
    assert hints[1] == "go to kitchen"
    assert len(set(hints)) == 3
    (record,) = read_records(file)
    assert record["agent"] == "human:hinted"
    assert record["turns"][3]["action"] == record["turns"][3]["admissible_commands"][0]


def test_a_hint_after_another_way_moves_on_with_the_experts() -> None:
    pytest.importorskip("scienceworld", reason="Run: pip install -e '.[scienceworld]'")
    shown = play(["activate bathtub", ":hint", "open door to kitchen", ":hint", ":quit"])
    assert "You left the expert's solution at turn 1. Its next command: open door to kitchen" in shown
    assert "You left the expert's solution at turn 1. Its next command: go to kitchen" in shown


def test_hints_in_alfworld_solve_the_task_from_anywhere() -> None:
    stream = io.StringIO()
    screen = Screen(Console(file=stream, markup=False, emoji=False, highlight=False))
    env_id = "act/ALFWorld-generated-seen"
    with closing(gym.make(env_id)) as env:
        game = Game(env, screen, env_id)
        game.start()
        for _ in range(4):
            game.take("look")
            game.take(f"go to {[command for command in game.commands if command.startswith('go to')][-1][6:]}")
        while not game.stop:
            game.take(":hint")
            game.take(stream.getvalue().rpartition("The expert's next command: ")[2].strip())
        assert game.info["success"]


def test_a_near_miss_is_asked_back_before_it_takes_a_turn() -> None:
    stream = io.StringIO()
    screen = Screen(Console(file=stream, markup=False, emoji=False, highlight=False, width=200))
    with closing(gym.make("act/WebShop-generated-seen")) as env:
        game = Game(env, screen, "act/WebShop-generated-seen")
        game.start()
        game.take("search[shoes]")  # fits the form
        assert len(game.turns) == 1
        game.take("click[Back to serch]")
        assert "Did you mean: " in stream.getvalue()
        assert "click[back to search]? The same line again" in stream.getvalue()
        assert len(game.turns) == 1
        game.take("click[Back to serch]")
        assert len(game.turns) == 2
        shown = len(stream.getvalue())
        game.take("?")
        listed = re.findall(r"^ +\d+  (\w+)", stream.getvalue()[shown:], re.MULTILINE)
        assert listed == sorted(listed)
        assert set(listed) == {"click"}


@given(st.text())
def test_no_control_character_of_a_simulator_reaches_the_terminal(text: str) -> None:
    assert all(letter == "\n" or letter.isprintable() for letter in clean(text))


def test_escape_sequences_go_as_a_whole() -> None:
    assert clean("a\x1b[31mred\x1b[0m \x1b]0;title\x07b\x1bc\x9b1m\u202ec") == "ared bc1mc".replace("bc", "b")


def test_markup_in_a_simulators_text_is_text() -> None:
    stream = io.StringIO()
    Screen(Console(file=stream, markup=False, emoji=False, highlight=False)).say("[red]x[/red] :smile: [/]")
    assert stream.getvalue() == "[red]x[/red] :smile: [/]\n"


def test_thousands_of_commands_are_shown_as_their_verbs_and_pages() -> None:
    stream = io.StringIO()
    screen = Screen(Console(file=stream, markup=False, emoji=False, highlight=False, width=200))
    commands = [f"{verb} thing {number}" for verb in ("open", "pour") for number in range(1_000)]
    screen.commands(commands)
    assert "open (1,000), pour (1,000)" in stream.getvalue()
    screen.commands(commands, matching(commands, "po thing"))
    assert " 1001  pour thing 0\n" in stream.getvalue()
    assert "… and 960 more: +" in stream.getvalue()
    assert stream.getvalue().count("\n") < 50


def test_a_filter_matches_the_beginnings_of_words() -> None:
    assert matching(["open door", "go to garden", "look"], "do") == [1]
    assert matching(["open door", "go to garden", "look"], "g gar") == [2]
