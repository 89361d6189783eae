"""Cache of compiled games: from the store of a task's folder if there is one, else from its own file.

The last games played stay in memory, shared by all environments.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from act_gym.engines.alfworld.compile_game import compile_game
from act_gym.engines.alfworld.files import GAME_FILE, read_task
from act_gym.engines.alfworld.game import Game
from act_gym.engines.alfworld.store import STORE_FILE, GameStore

__all__ = ["find_game"]

GAMES_KEPT = 256
"""At about 100 kB a game."""

_Stamp = tuple[int, int] | None


def find_game(payload: Mapping[str, Any], folder: Path) -> Game:
    """Return the compiled game of a task.

    Args:
        payload: The task's: `game`, a name below the folder, `file`, the path of a user's own, or `generated`,
            a split and a number.
        folder: The folder of the games.

    Raises:
        MissingDataError: It is not on this machine.
        CorruptDataError: Its file or the store is damaged.
        UnsupportedGameError: It holds what only upstream's packages play.
    """
    ((kind, name),) = payload.items()
    if kind == "game":
        changed = _stamp(f"{folder}/{name}/{GAME_FILE}"), _stamp(f"{folder}/{STORE_FILE}")
    else:
        changed = _stamp(name) if kind == "file" else None, None
    return _compiled(kind, name, folder, *changed)


@lru_cache(maxsize=GAMES_KEPT)
def _compiled(kind: str, name: str, folder: Path, _changed: _Stamp, store_changed: _Stamp) -> Game:
    store = _store(folder, store_changed)
    game = store.read(name) if store else None
    return game or compile_game(read_task({kind: name}, folder))


@lru_cache(maxsize=8)
def _store(folder: Path, changed: _Stamp) -> GameStore | None:
    return GameStore.find(folder) if changed else None


def _stamp(path: str) -> _Stamp:
    """Return a value that changes when a file changes; None if it is absent."""
    try:
        found = os.stat(path)  # noqa: PTH116  (a reset takes well under a millisecond, and a Path a good part of it)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
