"""ALFWorld's game files: paths and validation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from act_gym.errors import CorruptDataError, MissingDataError
from act_gym.paths import data_dir

__all__ = ["GAMES_FOLDER", "GAME_FILE", "games_folder", "name_of", "read_game", "read_task"]

GAMES_FOLDER = "alfworld/json_2.1.1"
"""Path of the games below the cache folder."""

GAME_FILE = "game.tw-pddl"

_NEEDED = ("pddl_domain", "grammar", "pddl_problem")


def games_folder(data: str | None = None) -> Path:
    """Return the folder of the games: the one given, or the one in the cache folder."""
    return Path(data).expanduser().resolve() if data is not None else data_dir() / GAMES_FOLDER


def name_of(payload: Mapping[str, Any]) -> str:
    """Return what a task's game is called in messages."""
    return str(payload.get("file") or payload.get("generated") or payload["game"])


def read_task(payload: Mapping[str, Any], games: Path) -> dict[str, Any]:
    """Return a task's game as its file holds it.

    Args:
        payload: The task's: `game`, a name below the folder of the games, `file`, the path of a user's own, or
            `generated`, a split and a number.
        games: The folder of the games.

    Raises:
        MissingDataError: It is not on this machine.
        CorruptDataError: It is damaged.
    """
    if "generated" in payload:
        from act_gym.engines.alfworld.generate import generate

        split, _, index = str(payload["generated"]).partition("/")
        return generate(split, int(index))
    if "file" in payload:
        return read_game(Path(str(payload["file"])))
    return read_game(games / str(payload["game"]) / GAME_FILE, games)


def read_game(path: Path, games: Path | None = None) -> dict[str, Any]:
    """Return what a game file holds: its domain, grammar and problem as text, and more.

    Args:
        path: The game file.
        games: The folder of all games, to tell one missing game from a missing download; None for a
            user's own file, which no download brings back.

    Raises:
        MissingDataError: It is not on this machine.
        CorruptDataError: It is damaged.
    """
    again = " Run: act-gym download alfworld --force" if games is not None else ""
    try:
        game = json.loads(path.read_bytes())
    except FileNotFoundError as cause:
        if games is None:
            raise MissingDataError(f"ALFWorld: the game {path} is not there any more.") from cause
        missing = f"the game {path.parent.relative_to(games)} is" if games.is_dir() else "its games are"
        raise MissingDataError(
            f"ALFWorld: {missing} not here; looked for {path}. Run: act-gym download alfworld"
        ) from cause
    except OSError as cause:
        raise CorruptDataError(f"Cannot read {path}: {cause.strerror or cause}.{again}") from cause
    except (ValueError, RecursionError) as cause:
        raise CorruptDataError(f"{path} is not JSON: {cause}.{again}") from cause
    lacking = [key for key in _NEEDED if not isinstance(game, dict) or not isinstance(game.get(key), str)]
    if lacking:
        raise CorruptDataError(f"{path} lacks {', '.join(lacking)}.{again}")
    return game  # type: ignore[no-any-return]
