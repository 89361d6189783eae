"""ALFWorld's experts: the native planner and upstream's two, from random states.

    python -m benchmarks.experts alfworld
    python -m benchmarks.experts alfworld --upstream 60

Each game is solved from its start and again after random commands. Every plan is played, and only what won counts.
Times are processor time of deciding; the first plan in a game includes preparing the game's rules for planning. Of
the hand-coded expert they include the simulator that it looks at; of upstream's planner they are by the clock.
States in which luck has won already are left out. `docs/expert.md` holds the results.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from act_gym.config import parse
from act_gym.engines.alfworld.files import games_folder
from act_gym.engines.alfworld.game import Game, Position
from act_gym.engines.alfworld.game_cache import find_game
from act_gym.engines.alfworld.planner import is_dead_end, plan
from act_gym.errors import UsageError
from act_gym.io.jsonl import RecordWriter
from act_gym.progress import track
from act_gym.splits.alfworld import tasks
from act_gym.types import Task
from benchmarks.experts.attempts import (
    DEAD_END,
    NOT_FOUND,
    WON,
    Attempt,
    agreement,
    length_table,
    random_commands,
    time_table,
)

__all__ = ["ExpertsConfig", "attempts", "main"]


@dataclass(frozen=True)
class ExpertsConfig:
    """Measure the experts of ALFWorld."""

    limit: int = 0
    """At most this many games of each split; 0 for all 274 evaluation games and `train` of training."""
    train: int = 500
    """How many training games, drawn at random."""
    steps: int = 20
    """Random commands before the second plan in each game."""
    seed: int = 0
    """Seed of the games and commands."""
    upstream: int = 0
    """How many evaluation games upstream's two experts try too, at about half a minute a game."""
    patience: float = 120.0
    """Seconds after which upstream's planner is ended."""
    data: str | None = None
    """Folder of the games; the one in the cache folder if not given."""
    out: Path | None = None
    """A file for all attempts as records."""


def main(argv: Sequence[str]) -> int:
    """Measure and print the tables.

    Raises:
        UsageError: A number is negative.
        MissingDataError: The games are not here.
        MissingDependencyError: Upstream's expert was asked for and its packages are not installed.
    """
    arguments = parse(ExpertsConfig, argv, program="python -m benchmarks.experts alfworld")
    if min(arguments.limit, arguments.train, arguments.steps, arguments.upstream) < 0:
        raise UsageError("--limit, --train, --steps and --upstream are 0 or more.")
    folder = games_folder(arguments.data)
    chosen = list(_chosen(arguments))
    done: list[Attempt] = []
    for task in track(chosen, "planner", total=len(chosen)):
        game = find_game(task.payload, folder)
        done += attempts(game, task, f"{task.split}, ", arguments.steps, arguments.seed)
    _say(done, arguments)
    if arguments.upstream:
        both = list(_beside_upstream(chosen, folder, arguments))
        _say(both, arguments)
        groups = [f"{who}, after {arguments.steps} random commands" for who in ("planner", "upstream's planner")]
        sys.stdout.write(f"{agreement(both, *groups)}\n")
        done += both
    if arguments.out is not None:
        with RecordWriter(arguments.out) as records:
            for attempt in done:
                records.write(asdict(attempt))
    return 0


def attempts(game: Game, task: Task, label: str, steps: int, seed: int) -> Iterator[Attempt]:
    """Plan from a game's start, and again after random commands.

    Args:
        game: The game.
        task: Its task.
        label: Begins the groups' names.
        steps: How many random commands.
        seed: Seed of the draw.
    """
    yield _attempt(game, game.start, task, f"{label}from the start")
    _, here = random_commands(game, task, steps, seed)
    if not here.won:
        yield _attempt(game, here, task, f"{label}after {steps} random commands")


def _beside_upstream(chosen: Sequence[Task], folder: Path, arguments: ExpertsConfig) -> Iterator[Attempt]:
    from benchmarks.experts.handcoded import handcoded_attempts
    from benchmarks.experts.replanning import replanning_attempt

    steps, seed = arguments.steps, arguments.seed
    sample = _drawn([task for task in chosen if task.split != "train"], arguments.upstream, seed)
    for task in track(sample, "upstream's experts", total=len(sample)):
        game = find_game(task.payload, folder)
        yield from attempts(game, task, "planner, ", steps, seed)
        yield from handcoded_attempts(game, task, folder, steps, seed)
        yield from replanning_attempt(game, task, folder, steps, seed, arguments.patience)


def _attempt(game: Game, here: Position, task: Task, group: str) -> Attempt:
    began = time.process_time()
    commands = plan(game, here)
    seconds = time.process_time() - began
    outcome = DEAD_END if commands is None and is_dead_end(game, here) else NOT_FOUND
    for command in commands or ():
        here = game.after(here, game.bindings(here)[command])
        outcome = WON if here.won else NOT_FOUND
    return Attempt(group, task.id, outcome, len(commands or ()), len(game.walkthrough), seconds)


def _chosen(arguments: ExpertsConfig) -> Iterator[Task]:
    for split in ("seen", "unseen", "train"):
        every = tasks(split)
        most = min(arguments.limit or len(every), arguments.train if split == "train" else len(every))
        yield from _drawn(every, most, arguments.seed)


def _drawn(every: Sequence[Task], most: int, seed: int) -> list[Task]:
    order = np.random.default_rng(seed).permutation(len(every))[:most]
    return [every[index] for index in sorted(order)]


def _say(done: Sequence[Attempt], arguments: ExpertsConfig) -> None:
    lines = [f"Seed {arguments.seed}.", "", *length_table(done), "", *time_table(done), ""]
    sys.stdout.write("\n".join(lines) + "\n")
