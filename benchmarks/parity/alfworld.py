"""Compares ALFWorld's native engine with upstream's packages, state by state.

    python -m benchmarks.parity alfworld --steps 10 --out runs/parity/alfworld.jsonl

Plays each game's own walkthrough on both engines and then random commands, and compares observation, admissible
commands, score, success, end, whether the command was understood, goal and walkthrough, and the facts with `--facts`.
The first difference of each game is printed with the commands that lead to it; the last line counts. The reference
needs about a second a game.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path

from act_gym.config import parse
from act_gym.engines.alfworld.native import NativeEngine
from act_gym.engines.alfworld.textworld import TextWorldEngine
from act_gym.errors import UsageError
from act_gym.splits.alfworld import tasks, tasks_of_files
from act_gym.types import Task
from benchmarks.parity.comparison import Pair
from benchmarks.parity.sweep import Sweep, run, summary

__all__ = ["ParityConfig", "ReferenceEngine", "main", "make_pair"]


@dataclass(frozen=True)
class ParityConfig:
    """Compare the native engine with upstream's packages; the exit status is 1 where any game differs."""

    games: tuple[Path, ...] = ()
    """Game files, or folders that are searched for them; the 3,827 downloaded games if none is given."""
    steps: int = 10
    """Random commands for each game, after its walkthrough."""
    seed: int = 0
    """Seed of the draw."""
    limit: int = 0
    """Only this many games, spread evenly over all; 0 for all."""
    facts: bool = False
    """Compare what holds in each state as well."""
    workers: int = 1
    """Processes."""
    out: Path | None = None
    """A file of records, one for each game; a second run plays those that are missing or differed."""


class ReferenceEngine(TextWorldEngine):
    """Upstream's packages, and what they hold to be true.

    Upstream parses the same templates and queries again for every command of every state. Their parse trees, which
    it only reads, are kept here; that more than halves the time of a step.
    """

    def __init__(self, *, data: str | None = None) -> None:
        super().__init__(data=data)
        _parse_once()

    def facts(self) -> frozenset[tuple[str, ...]]:
        """Return the facts of the current state: the name of a predicate and those of the objects it holds of."""
        state = self._env.unwrapped.state
        names = {name: info.name for name, info in state["_entity_infos"].items()}
        return frozenset(
            (fact.name, *(names[each.name] for each in fact.arguments))
            for fact in state["_facts"]
            if not fact.name.startswith("new-axiom@")  # what the planner makes of a goal, and no fact of the game
        )


@cache
def _parse_once() -> None:
    from textworld import logic
    from textworld.envs.pddl import textgen

    for parser in (logic._PARSER, textgen._PARSER):
        parser.parse = lru_cache(maxsize=4096)(parser.parse)


def make_pair(*, reference: str | None = None, candidate: str | None = None, facts: bool = False) -> Pair:
    """Make both engines; each may have a folder of games of its own."""
    return Pair(ReferenceEngine(data=reference), NativeEngine(data=candidate), facts)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(
        ParityConfig, sys.argv[1:] if argv is None else argv, program="python -m benchmarks.parity alfworld"
    )
    if arguments.steps < 0 or arguments.limit < 0 or arguments.workers < 1:
        raise UsageError("--steps and --limit are 0 or more, and --workers is at least 1.")
    sweep = Sweep(partial(make_pair, facts=arguments.facts), arguments.steps, arguments.seed)
    records = run(sweep, _chosen(arguments), workers=arguments.workers, out=arguments.out, report=print)
    print(summary(records))  # noqa: T201
    return int(any(record["difference"] for record in records))


def _chosen(arguments: ParityConfig) -> Sequence[Task]:
    found = tasks_of_files(arguments.games) if arguments.games else tasks()
    if not 0 < arguments.limit < len(found):
        return found
    return [found[index * len(found) // arguments.limit] for index in range(arguments.limit)]
