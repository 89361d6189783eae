"""Writes generated games as files for ALFWorld and TextWorld.

python -m act_gym.engines.alfworld.generate --split train --count 10 --out games
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from act_gym.cli import run
from act_gym.config import parse
from act_gym.engines.alfworld.files import GAME_FILE
from act_gym.engines.alfworld.generate import generate, goal
from act_gym.errors import UsageError
from act_gym.io.jsonl import replacing

__all__ = ["GenerateConfig", "main"]


@dataclass(frozen=True)
class GenerateConfig:
    """Write generated ALFWorld games, each to OUT/SPLIT/GAME/NUMBER/game.tw-pddl."""

    out: Path
    """Folder to write to; made if it is not there."""
    split: Literal["train", "seen", "unseen"] = "train"
    """Whose rooms and goals."""
    start: int = 0
    """Number of the first game, from 0."""
    count: int = 10
    """How many games."""
    force: bool = False
    """Write over files that are there."""


def main(argv: Sequence[str]) -> int:
    """Write the games and print the path of each.

    Raises:
        UsageError: The range is not one, a file is there already, or it cannot be written.
        MissingDependencyError: The alfworld package is not installed.
    """
    arguments = parse(GenerateConfig, argv, program="python -m act_gym.engines.alfworld.generate")
    if arguments.start < 0 or arguments.count < 1:
        raise UsageError(
            f"No games from {arguments.start}, {arguments.count} of them. Expected --start 0 and --count 1, or more."
        )
    paths = {
        index: arguments.out / arguments.split / goal(arguments.split, index).name / str(index) / GAME_FILE
        for index in range(arguments.start, arguments.start + arguments.count)
    }
    there = [path for path in paths.values() if path.exists()]
    if there and not arguments.force:
        raise UsageError(f"{there[0]} is there already. Write over it with --force, or choose another --out.")
    for index, path in paths.items():
        try:
            with replacing(path) as file:
                json.dump(generate(arguments.split, index), file)
        except OSError as cause:
            raise UsageError(f"Cannot write {path}: {cause.strerror or cause}. Choose another --out.") from cause
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main, sys.argv[1:]))
