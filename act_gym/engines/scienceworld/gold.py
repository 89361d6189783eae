"""Gold solutions of ScienceWorld tasks, computed once by the simulator and cached.

The simulator solves a task by playing it, in up to 7 s. The solution is cached in this process and in the cache folder,
by package version and simplifications. It is computed in a separate simulator, so the running episode does not change.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from act_gym.engines.scienceworld.jvm import Jvm
from act_gym.engines.scienceworld.simulator import World
from act_gym.errors import EngineError
from act_gym.io.jsonl import write_json
from act_gym.paths import data_dir

__all__ = ["gold_path"]

_kept: dict[Path, tuple[str, ...]] = {}


def gold_path(jvm: Jvm, task: str, variation: int, *, version: str, simplifications: str) -> tuple[str, ...]:
    """Return commands that solve a task from its start.

    Raises:
        EngineError: The simulator failed, or finds no solution.
    """
    folder = "-".join((version, *(name for name in simplifications.split(",") if name)))
    path = data_dir() / "scienceworld" / "gold" / folder / task / f"{variation}.json"
    if path not in _kept:
        commands = _read(path)
        if commands is None:
            commands = _work_out(jvm, task, variation, simplifications)
            # A cache that cannot be written costs time and nothing else.
            with contextlib.suppress(OSError):
                write_json(path, commands)
        _kept[path] = commands
    return _kept[path]


def _read(path: Path) -> tuple[str, ...] | None:
    try:
        commands = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(commands, list) or not commands or not all(isinstance(command, str) for command in commands):
        return None
    return tuple(commands)


def _work_out(jvm: Jvm, task: str, variation: int, simplifications: str) -> tuple[str, ...]:
    world = World(jvm)
    try:
        world.load(task, variation, simplifications, gold=True)
        commands = world.gold_path()
    finally:
        world.close()
    if not commands:
        raise EngineError(f"ScienceWorld finds no solution of {task}/{variation}.")
    return commands
