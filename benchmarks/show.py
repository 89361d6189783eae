"""Shows a run's episodes in the terminal, and the exact prompt of any turn.

    act-gym show runs/eval                                    one line an episode
    act-gym show runs/eval --task pick_and_place --turn 4     a turn
    act-gym show runs/eval --task pick_and_place --turn 4 --prompt

A prompt is rendered again from the record and the manifest, by the code that asked, and compared with the hash that was
recorded then (`agents.prompt_replay`). Where the model's tokenizer is on this machine, the text that the chat template
made of it follows.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional

from act_gym.config import Bound, NotNegative, check_bounds, parse
from act_gym.errors import ActGymError, RunError, UsageError
from act_gym.io.jsonl import read_records
from act_gym.types import Episode, Turn
from agents.prompt_replay import asked, question_of
from agents.registry import parse_agent
from benchmarks.html_report.markup import plain
from benchmarks.stats.failure_modes import TURN_MODES, modes

if TYPE_CHECKING:
    from agents.prompt_config import Question
    from agents.prompts import Message

__all__ = ["ShowConfig", "main", "prompt_text"]


@dataclass(frozen=True)
class ShowConfig:
    """Show a run's episodes, one of its turns, or the prompt of a turn."""

    run: Positional[Path]
    """A run folder of act-gym eval."""
    task: str = ""
    """A task's id, or a part of it that only one task has; empty lists all episodes."""
    seed: Annotated[int, Bound(least=-1)] = -1
    """The episode's seed, where a task was played with several; -1 takes the first."""
    tasks: bool = False
    """List tasks instead of episodes, each with its success over the seeds."""
    turn: NotNegative = 0
    """A turn, counted from 1; 0 for all."""
    prompt: bool = False
    """Show what the model was asked at this turn: the messages, and the text that it read."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(ShowConfig, sys.argv[1:] if argv is None else argv, program="act-gym show")
    check_bounds(arguments)
    if arguments.prompt and not (arguments.task and arguments.turn):
        raise UsageError("--prompt shows one turn of one task; give it with --task ID --turn NUMBER.")
    episodes = [Episode.from_json(record) for record in read_records(arguments.run / "episodes.jsonl")]
    if arguments.task:
        episode = _found(episodes, arguments.task, arguments.seed)
        lines = (
            _prompt(arguments.run, episode, arguments.turn) if arguments.prompt else _played(episode, arguments.turn)
        )
    else:
        lines = _by_task(episodes) if arguments.tasks else [_line(episode) for episode in episodes]
    text = "\n".join(lines).encode("utf-8", "replace").decode()
    # A terminal obeys what it is sent; a file or another program gets the text as it is.
    sys.stdout.write((plain(text) if sys.stdout.isatty() else text) + "\n")
    return 0


def _found(episodes: Sequence[Episode], task: str, seed: int) -> Episode:
    exact = [one for one in episodes if one.task.id == task] or [one for one in episodes if task in one.task.id]
    names = sorted({one.task.id for one in exact})
    if len(names) > 1:
        raise UsageError(f"{len(names)} tasks of this run have {task!r} in their id, e.g. {', '.join(names[:3])}.")
    chosen = [one for one in exact if seed in (-1, one.seed)]
    if not chosen:
        wanted = f"{task!r}" if seed == -1 else f"{task!r} with seed {seed}"
        raise UsageError(f"No episode of {wanted} in this run. List them with act-gym show and the run alone.")
    return chosen[-1] if seed != -1 else next(one for one in reversed(chosen) if one.seed == chosen[0].seed)


def _line(episode: Episode) -> str:
    mark = "solved" if episode.success else episode.stop
    lost = ", ".join(
        f"{count} {name.replace('_', ' ')}" for name, count in modes(episode).items() if count and name in TURN_MODES
    )
    line = f"{mark:<10}  {len(episode.turns):>3} turns  seed {episode.seed}  {episode.task.id}"
    return f"{line}  ({lost})" if lost else line


def _by_task(episodes: Sequence[Episode]) -> list[str]:
    """Return a line for each task with its success over the seeds, the hardest first."""
    latest = {(one.env_id, one.task.id, one.seed): one for one in episodes}  # an error may have been tried again
    solved: dict[tuple[str, str], list[bool]] = {}
    for (env_id, task_id, _), one in latest.items():
        solved.setdefault((env_id, task_id), []).append(one.success)
    ordered = sorted(solved.items(), key=lambda item: (sum(item[1]) / len(item[1]), item[0]))
    return [f"{sum(own)} of {len(own)}  {env_id}  {task_id}" for (env_id, task_id), own in ordered]


def _played(episode: Episode, number: int) -> list[str]:
    if number > len(episode.turns):
        raise UsageError(f"{episode.task.id} has the turns 1 to {len(episode.turns)}; got {number}.")
    turns = list(enumerate(episode.turns, start=1))
    shown = turns[number - 1 : number] if number else turns
    lines = [_line(episode), f"goal: {episode.goal}"]
    for place, turn in shown:
        lines += ["", f"turn {place}", turn.observation.strip(), *_said(turn), f"> {turn.action or '(no action)'}"]
    return lines if number else [*lines, "", episode.final_observation.strip(), *filter(None, [episode.error])]


def _said(turn: Turn) -> list[str]:
    return [f"reply: {turn.response}"] if turn.response.strip() not in ("", turn.action) else []


def _prompt(run: Path, episode: Episode, number: int) -> list[str]:
    """Return the messages of a turn and, where the tokenizer is here, the text that the model read.

    Raises:
        RunError: The run does not say how it asked.
    """
    facts = manifest_of(run)
    question = question_of(facts.get("agent", {}))
    if question is None:
        raise RunError(
            f"{run / 'manifest.json'} does not say how a model was asked: the agent is no language model, or "
            "played in other processes. Expected a run of act-gym eval with --agent local or chat."
        )
    found = asked(episode, number - 1, question, facts.get("env_options"))
    lines = ["This is the prompt of the run: its hash is the recorded one." if found.is_exact else _NOT_EXACT]
    for message in found.messages:
        lines += ["", f"[{message['role']}]", message["content"]]
    for tool in question.reply.tools:
        lines += ["", "[tool]", json.dumps(tool)]
    read_tokens = episode.turns[number - 1].prompt_tokens
    text, why_not = prompt_text(facts["agent"], question, found.messages)
    return [*lines, "", f"[text of {read_tokens} tokens]", text] if text else [*lines, "", why_not]


_NOT_EXACT = (
    "warning: the run may have had another prompt; its hash is not the recorded one. The prompt set or the data of an "
    "example changed, or the prompt showed commands that the record does not keep (act-gym eval --keep-commands)."
)


def prompt_text(agent: Mapping[str, Any], question: Question, messages: Sequence[Message]) -> tuple[str, str]:
    """Return the text that a local model read, and else an empty one and why.

    Args:
        agent: The agent's facts from the manifest.
        question: How it was asked.
        messages: The prompt.
    """
    name, settings = parse_agent(str(agent.get("asked_for", "")))
    if name != "local":
        return "", "The server rendered these messages; its chat template is not known here."
    render = _renderer(str({**settings, **agent.get("options", {})}.get("model", "smollm2")))
    if isinstance(render, str):
        return "", render
    return render(question, messages), ""


def _renderer(model: str) -> Callable[[Question, Sequence[Message]], str] | str:
    """Return what renders messages with a model's tokenizer; why not, where that is not here."""
    from trainers.dry_run.estimate import tokens_of

    try:
        policy = tokens_of(model)
    except (ActGymError, ImportError, OSError, ValueError) as cause:
        return f"The text that the model read is not shown: its tokenizer cannot be loaded ({cause})."

    def render(question: Question, messages: Sequence[Message]) -> str:
        one = policy.offering(question.reply.tools) if question.reply.tools else policy
        return str(policy.tokenizer.decode(one.prompt_ids(messages, thinking=question.thinking)))

    return render


def manifest_of(run: Path) -> dict[str, Any]:
    """Return a run's manifest.

    Raises:
        RunError: It is not there or cannot be read.
    """
    try:
        found: dict[str, Any] = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise RunError(
            f"{run} has no readable manifest.json ({cause}). Expected a run folder of act-gym eval."
        ) from cause
    return found


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
