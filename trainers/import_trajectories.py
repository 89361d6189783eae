"""Import of published trajectories as episodes, an alternative to `trainers.collect`.

    python -m trainers.import_trajectories --file scienceworld.jsonl --out runs/x/imports
    python -m trainers.import_trajectories --file webshop.jsonl --out runs/y/imports

`webshop_trajectories.py` replays WebShop's trajectories; the rest of this text is about ScienceWorld's. The file is
AgentGym's (`AgentTraj-L`, Xi et al. 2024): solutions of the simulator with thoughts added by a model, as a chat in
which every reply is `Thought:` … `Action:` …. It holds no scores. So every trajectory is replayed in our engine:
observations, scores and validity are ours, and a trajectory that does not end at 100 is left out.

- `episodes.jsonl`: the trajectories that end at 100, with the thoughts.
- `replays.jsonl`: a line for each trajectory: its score, and, if it is not 100, the cause (see `CAUSES`) and the first
  command whose answer differs in our engine.

The source was played in an older version of the simulator with the doors open, and its numbers count variations in the
order of `TASK_TYPES`. Names of that version are renamed. The order of things in a room was random in it, so answers are
compared as bags of words.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from act_gym.config import NotNegative, parse
from act_gym.engine import Engine
from act_gym.engines.scienceworld import JvmEngine
from act_gym.errors import CorruptDataError, EngineError, UsageError
from act_gym.io.jsonl import RecordWriter, read_records
from act_gym.io.run_dir import Run
from act_gym.progress import track
from act_gym.splits.scienceworld import tasks
from act_gym.types import Episode, StepResult, Task, Turn
from trainers.data.webshop_trajectories import import_webshop, is_webshop, replayed_episode, replayed_turn

__all__ = ["CAUSES", "TASK_TYPES", "ImportConfig", "Replay", "Trajectory", "main", "read_trajectories", "replay"]

ENV_ID = "act/ScienceWorld"

TASK_TYPES = (
    "boil",
    "melt",
    "freeze",
    "change-the-state-of-matter-of",
    "use-thermometer",
    "measure-melting-point-known-substance",
    "power-component",
    "power-component-renewable-vs-nonrenewable-energy",
    "test-conductivity",
    "test-conductivity-of-unknown-substances",
    "find-living-thing",
    "find-non-living-thing",
    "find-plant",
    "find-animal",
    "chemistry-mix",
    "chemistry-mix-paint-secondary-color",
    "chemistry-mix-paint-tertiary-color",
    "lifespan-longest-lived",
    "lifespan-shortest-lived",
    "lifespan-longest-lived-then-shortest-lived",
    "identify-life-stages-1",
    "identify-life-stages-2",
)
"""The task types in the source's order; the source numbers all variations of one type, then those of the next."""

CAUSES = {
    "other task": "the task text differs",
    "engine failed": "the simulator failed",
    "spoilt": "the wrong thing was focused on",
    "not understood": "a command that the source's world understood was not understood",
    "ambiguous": "a command fitted several things that it did not in the source's world",
    "other answer": "the world answered something else to the same commands",
    "ends before": "every answer was the same, and the trajectory ends before the task does",
}
"""Causes why a trajectory does not end at 100; the first that applies is recorded."""

# Names in the older version, and in this one.
_RENAMED = (("green house", "greenhouse"), ("bath tub", "bathtub"), (" degrees celsius", " degrees"))

_REPLY = re.compile(r"\s*Thought:(?P<thought>.*?)Action:(?P<action>.*)", re.DOTALL)
_NUMBER = re.compile(r"sciworld_(\d{1,6})")


@dataclass(frozen=True)
class ImportConfig:
    """Replay published trajectories and keep those that end at 100, or at WebShop's 1.0, as episodes."""

    file: Path
    """AgentGym's trajectories of ScienceWorld or of WebShop, a JSON object a line."""
    simplifications: str = "openDoors"
    """Simplifications of ScienceWorld in the source."""
    task_types: tuple[str, ...] = ()
    """Only trajectories of these task types; all if none is given."""
    limit: NotNegative = 0
    """At most this many, of ScienceWorld taken from the task types in turn; 0 for all."""
    out: Path = Path("runs/imports")
    """The run folder."""
    resume: bool = False
    """Continue the run in the folder; trajectories that the simulator failed in are replayed again."""


@dataclass(frozen=True)
class Trajectory:
    """One line of the file.

    Attributes:
        item: The source's name for it.
        task: The task of its number.
        opening: The task description and the first observation.
        replies: The replies of the source's agent, in order.
        thoughts: The reasoning in each reply.
        actions: The command in each reply, in the words of this version of the simulator.
        answers: The observation after each reply but the last.
    """

    item: str
    task: Task
    opening: str
    replies: tuple[str, ...]
    thoughts: tuple[str, ...]
    actions: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Replay:
    """Result of replaying a trajectory.

    Attributes:
        episode: The trajectory as played in our engine.
        cause: One of `CAUSES`; empty if it ends at 100.
        same: How many answers were the same, of those that the source holds.
        at: The first command whose answer differs, from 0; −1 if there is none.
        expected: The source's answer to it.
        found: Ours.
    """

    episode: Episode
    cause: str
    same: int
    at: int = -1
    expected: str = ""
    found: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    arguments = parse(
        ImportConfig, sys.argv[1:] if argv is None else argv, program="python -m trainers.import_trajectories"
    )
    if arguments.limit < 0:
        raise UsageError("--limit is 0 (all) or more.")
    if is_webshop(arguments.file):
        return _import_webshop(arguments)
    chosen = _in_turn(read_trajectories(arguments.file), arguments.task_types)[: arguments.limit or None]
    run = Run(
        arguments.out, "trainers.import_trajectories", arguments, inputs=[arguments.file], resume=arguments.resume
    )
    replays, episodes = run.path("replays.jsonl"), run.path("episodes.jsonl")
    done = {item for item, record in _latest(replays).items() if record["cause"] != "engine failed"}
    kept = {record["task"]["id"] for record in read_records(episodes)} if episodes.exists() else set()
    left = [each for each in chosen if each.item not in done]
    with (
        closing(JvmEngine(simplifications=arguments.simplifications)) as engine,
        RecordWriter(episodes) as episode_writer,
        RecordWriter(replays) as replay_writer,
    ):
        for each in track(left, "replaying", total=len(chosen), done=len(chosen) - len(left)):
            found = replay(engine, each)
            if found.episode.success and each.task.id not in kept:
                episode_writer.write(found.episode.to_json())
            replay_writer.write(_record(each, found))
    sys.stdout.write(_summary(list(_latest(replays).values())))
    return 0


def _import_webshop(arguments: ImportConfig) -> int:
    run = Run(
        arguments.out, "trainers.import_trajectories", arguments, inputs=[arguments.file], resume=arguments.resume
    )
    summary = import_webshop(
        arguments.file,
        run.path("episodes.jsonl"),
        run.path("replays.jsonl"),
        task_types=arguments.task_types,
        limit=arguments.limit,
    )
    sys.stdout.write(summary)
    return 0


def read_trajectories(file: Path) -> Iterator[Trajectory]:
    """Yield the trajectories of a file.

    Raises:
        RunError: The file cannot be read.
        CorruptDataError: A line is not a trajectory of ScienceWorld.
    """
    known = {task.id: task for task in tasks()}
    per_type = Counter(task.task_type for task in known.values())
    ids = [f"scienceworld/{name}/{number}" for name in TASK_TYPES for number in range(per_type[name])]
    for line, record in enumerate(read_records(file), start=1):
        try:
            item = record["item_id"]
            found = _NUMBER.fullmatch(item)
            if found is None:
                raise ValueError(f"{item!r} is no name of a trajectory of ScienceWorld")
            # The first two turns are the instructions and their confirmation.
            values = [str(turn["value"]) for turn in record["conversations"][2:]]
            yield _trajectory(item, known[ids[int(found[1])]], values)
        except (KeyError, IndexError, TypeError, ValueError) as cause:
            raise CorruptDataError(
                f"{file}, line {line}, is not a trajectory of ScienceWorld: {cause!r}. Get AgentTraj-L's file again."
            ) from cause


def replay(engine: Engine, trajectory: Trajectory) -> Replay:
    """Replay a trajectory's commands until they or the task end.

    Args:
        engine: ScienceWorld's, made with the source's simplifications.
        trajectory: The trajectory.
    """
    turns: list[Turn] = []
    state, error = StepResult(observation="", score=0, raw_score=0, success=False, terminated=False), ""
    differing: list[tuple[int, str, str]] = []
    clues: list[str] = []
    told = 0
    try:
        state = engine.reset(trajectory.task)
        if not _same(trajectory.opening.partition("\n")[0], engine.goal.partition("\n")[0]):
            clues.append("other task")
        for at, action in enumerate(trajectory.actions):
            if state.terminated:
                break
            before, state = state, engine.step(action)
            turns.append(replayed_turn(trajectory, at, before, state))
            if at < len(trajectory.answers):
                told += 1
                expected = trajectory.answers[at]
                if not _same(expected, state.observation):
                    differing.append((at, expected, state.observation))
                    clues.append(_clue(expected, state))
    except EngineError as fault:
        error = str(fault)
        clues.append("engine failed")
    if state.raw_score < 0:
        clues.append("spoilt")
    first = differing[0] if differing else (-1, "", "")
    cause = "" if state.success else next((name for name in CAUSES if name in clues), "ends before")
    episode = replayed_episode(ENV_ID, trajectory.task, engine, turns, state, error)
    return Replay(episode, cause, told - len(differing), *first)


def _trajectory(item: str, task: Task, values: Sequence[str]) -> Trajectory:
    replies = tuple(values[1::2])
    parts = [_REPLY.fullmatch(reply) for reply in replies]
    if not parts or not all(parts):
        raise ValueError("a reply is not a thought and an action")
    found = [part for part in parts if part is not None]
    return Trajectory(
        item=item,
        task=task,
        opening=values[0],
        replies=replies,
        thoughts=tuple(part["thought"].strip() for part in found),
        actions=tuple(_renamed(part["action"].strip()) for part in found),
        answers=tuple(values[2::2]),
    )


def _clue(expected: str, found: StepResult) -> str:
    text = found.observation
    if text.startswith("Ambiguous request") and not expected.startswith("Ambiguous request"):
        return "ambiguous"
    return "not understood" if not found.action_valid else "other answer"


def _renamed(text: str) -> str:
    for old, new in _RENAMED:
        text = text.replace(old, new)
    return text


def _same(expected: str, found: str) -> bool:
    """Compare two texts as bags of words, under the names of this version."""
    one, other = (sorted(re.findall(r"[^\s,.:()]+", _renamed(text))) for text in (expected, found))
    return one == other


def _in_turn(found: Iterator[Trajectory], task_types: Sequence[str]) -> list[Trajectory]:
    """Return the first trajectory of every task type, then the second of each, and so on."""
    seen: Counter[str] = Counter()
    turns = []
    for each in found:
        if not task_types or each.task.task_type in task_types:
            turns.append((seen[each.task.task_type], each))
            seen[each.task.task_type] += 1
    return [each for _, each in sorted(turns, key=lambda turn: turn[0])]


def _latest(path: Path) -> dict[str, dict[str, Any]]:
    """Return each trajectory's last record; a resume repeats those that the simulator failed in."""
    return {record["item"]: record for record in read_records(path)} if path.exists() else {}


def _record(trajectory: Trajectory, found: Replay) -> dict[str, Any]:
    return {
        "item": trajectory.item,
        "task_id": trajectory.task.id,
        "task_type": trajectory.task.task_type,
        "split": trajectory.task.split,
        "actions": len(trajectory.actions),
        "turns": len(found.episode.turns),
        "raw_score": found.episode.raw_score,
        "cause": found.cause,
        "answers": len(trajectory.answers),
        "same": found.same,
        "at": found.at,
        "action": trajectory.actions[found.at] if found.at >= 0 else "",
        "expected": found.expected,
        "found": found.found,
        "error": found.episode.error,
    }


def _summary(records: Sequence[Mapping[str, Any]]) -> str:
    """Return Markdown: the results of each task type, and the causes."""
    by_type: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        by_type.setdefault(record["task_type"], []).append(record)
    lines = ["| task type | replayed | reached 100 | all answers the same |", "|---|--:|--:|--:|"]
    for name, of_type in [*sorted(by_type.items()), ("all", list(records))]:
        reached, same = sum(not each["cause"] for each in of_type), sum(each["at"] < 0 for each in of_type)
        lines.append(f"| {name} | {len(of_type):,} | {reached:,} | {same:,} |")
    lines += ["", "| why it does not reach 100 | trajectories |", "|---|--:|"]
    causes = Counter(record["cause"] for record in records if record["cause"])
    lines += [f"| {CAUSES[name]} | {count:,} |" for name, count in causes.most_common()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
