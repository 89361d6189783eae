"""Statistics of generated and real ALFWorld games: their rooms, objects and goals.

    python -m benchmarks.checks.generated

Reads the training games of both, plays their walkthroughs with the native engine and prints Markdown
tables of means. The real games must have been downloaded; `docs/generated-games.md` holds the result.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from act_gym.cli import run
from act_gym.config import parse
from act_gym.engines.alfworld.compile_game import compile_game
from act_gym.engines.alfworld.files import GAME_FILE, games_folder, read_game
from act_gym.engines.alfworld.generate import generate
from act_gym.engines.alfworld.generate.rooms import kind_of
from act_gym.errors import EngineError, UsageError
from act_gym.progress import track
from act_gym.splits import alfworld, alfworld_generated
from act_gym.types import Task

__all__ = ["Figures", "GeneratedConfig", "figures_of", "main", "tables"]


@dataclass(frozen=True)
class GeneratedConfig:
    """Compare generated ALFWorld games with the real ones."""

    games: int = 0
    """At most this many of each, evenly spaced over the training games; 0 for all."""
    data: str | None = None
    """Folder of the real games; the one in the cache folder if not given."""


@dataclass(frozen=True)
class Figures:
    """Measurements of one game; counts, unless said otherwise.

    Attributes:
        task_type: The game's.
        room: The kind of room.
        receptacles: Fixed receptacles.
        openable: Those with a door.
        places: Positions in front of receptacles; several may share one.
        empty: Share of receptacles with nothing in them, 0–1.
        objects: Things that are no receptacles.
        objects_within_reach: Things in or on receptacles that can be picked up.
        turns: Length of the walkthrough.
        commands: Admissible commands, mean over the states of the walkthrough before its end.
    """

    task_type: str
    room: str
    receptacles: int
    openable: int
    places: int
    empty: float
    objects: int
    objects_within_reach: int
    turns: int
    commands: float


_ROOM_ROWS: Mapping[str, Callable[[Figures], float]] = {
    "receptacles": lambda one: one.receptacles,
    "of these with a door": lambda one: one.openable,
    "places to stand at receptacles": lambda one: one.places,
    "receptacles that are empty, %": lambda one: 100 * one.empty,
    "objects": lambda one: one.objects,
    "of these to be taken from receptacles": lambda one: one.objects_within_reach,
    "commands in a state": lambda one: one.commands,
}


def main(argv: Sequence[str]) -> int:
    """Measure both and print the tables.

    Raises:
        UsageError: The number of games is negative.
        MissingDataError: The real games are not here.
        MissingDependencyError: The alfworld package is not installed.
    """
    arguments = parse(GeneratedConfig, argv, program="python -m benchmarks.checks.generated")
    if arguments.games < 0:
        raise UsageError(f"--games {arguments.games}: expected 0 for all, or a number of games.")
    folder = games_folder(arguments.data)
    real = _spaced(alfworld.tasks("train"), arguments.games)
    made = _spaced(alfworld_generated.tasks("generated-train"), arguments.games)
    contents = (read_game(folder / task.payload["game"] / GAME_FILE, folder) for task in real)
    real_figures = [
        figures_of(content, task, _room_number(task.payload["game"].split("/")[1]))
        for task, content in track(zip(real, contents, strict=True), "real games", total=len(real))
    ]
    made_figures = [
        figures_of(generate(*_split_and_index(task)), task, _room_number(task.id.split("/")[2]))
        for task in track(made, "generated games", total=len(made))
    ]
    sys.stdout.write("\n".join(tables(real_figures, made_figures)) + "\n")
    return 0


def figures_of(content: Mapping[str, Any], task: Task, room: int) -> Figures:
    """Measure one game.

    Args:
        content: Content of its file.
        task: Its task.
        room: The number of its room.

    Raises:
        EngineError: Its walkthrough does not solve it.
    """
    game = compile_game(content)
    facts = game.first_facts
    receptacles = {name for name, kind in game.types.items() if kind == "receptacle"}
    held = {fact[1] for fact in facts["inreceptacle"]}
    movable = {fact[0] for fact in facts["pickupable"]}
    here, commands = game.start, []
    for command in game.walkthrough:
        commands.append(len(game.commands(here)))
        binding = game.bindings(here).get(command)
        if binding is None:
            raise EngineError(f"{task.id}: its walkthrough's {command!r} is not admissible.")
        here = game.after(here, binding)
    if not here.won:
        raise EngineError(f"{task.id}: its walkthrough does not solve it.")
    return Figures(
        task_type=task.task_type,
        room=kind_of(room),
        receptacles=len(receptacles),
        openable=len(facts.get("openable", ())),
        places=len({fact[1] for fact in facts["receptacleatlocation"]}),
        empty=len(receptacles - held) / len(receptacles),
        objects=len({fact[0] for fact in facts["objecttype"]}),
        objects_within_reach=len({fact[0] for fact in facts["inreceptacle"]} & movable),
        turns=len(game.walkthrough),
        commands=fmean(commands),
    )


def tables(real: Sequence[Figures], generated: Sequence[Figures]) -> Iterator[str]:
    """Yield the lines of two Markdown tables: by task type and by kind of room, each cell `real / generated`."""
    both = (real, generated)
    yield f"{len(real):,} real and {len(generated):,} generated games. Each cell: real / generated."
    yield from ("", "| task type | share, % | commands of the walkthrough |", "|---|--:|--:|")
    for name in sorted({one.task_type for one in real}):
        shares = [100 * fmean(one.task_type == name for one in side) for side in both]
        turns = [_mean((one for one in side if one.task_type == name), lambda one: one.turns) for side in both]
        yield f"| {name} | {_pair(shares)} | {_pair(turns)} |"
    rooms = [name for name, _ in Counter(one.room for one in real).most_common()]
    yield from ("", f"| | {' | '.join(rooms)} |", "|---|" + "--:|" * len(rooms))
    shares_row = (_pair([100 * fmean(one.room == name for one in side) for side in both]) for name in rooms)
    yield f"| share, % | {' | '.join(shares_row)} |"
    for heading, measure in _ROOM_ROWS.items():
        cells = (_pair([_mean((one for one in side if one.room == name), measure) for side in both]) for name in rooms)
        yield f"| {heading} | {' | '.join(cells)} |"


def _mean(games: Iterable[Figures], measure: Callable[[Figures], float]) -> float:
    values = [measure(game) for game in games]
    return fmean(values) if values else float("nan")


def _pair(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.1f}" for value in values)


def _spaced(tasks: Sequence[Task], most: int) -> Sequence[Task]:
    if not most or most >= len(tasks):
        return tasks
    return [tasks[number * len(tasks) // most] for number in range(most)]


def _split_and_index(task: Task) -> tuple[str, int]:
    split, _, index = str(task.payload["generated"]).partition("/")
    return split, int(index)


def _room_number(game: str) -> int:
    return int(game.rpartition("-")[2])


if __name__ == "__main__":
    raise SystemExit(run(main, sys.argv[1:]))
