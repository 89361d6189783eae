"""ALFWorld's game files: where they lie, and what must be in one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from act_gym.errors import CorruptDataError, MissingDataError
from act_gym.paths import data_dir

__all__ = ["GAMES_FOLDER", "GAME_FILE", "games_folder", "read_game"]

GAMES_FOLDER = "alfworld/json_2.1.1"
"""Where the games lie below the cache folder."""

GAME_FILE = "game.tw-pddl"

_NEEDED = ("pddl_domain", "grammar", "pddl_problem")


def games_folder(data: str | None = None) -> Path:
    """Return the folder of the games: the one given, or the one in the cache folder."""
    return Path(data).expanduser().resolve() if data is not None else data_dir() / GAMES_FOLDER


def read_game(path: Path, games: Path) -> dict[str, Any]:
    """Return what a game file holds: its domain, grammar and problem as text, and more.

    Args:
        path: The game file.
        games: The folder of all games, to tell one missing game from a missing download.

    Raises:
        MissingDataError: It is not on this machine.
        CorruptDataError: It is damaged.
    """
    cure = "Run: act-gym download alfworld"
    try:
        game = json.loads(path.read_bytes())
    except FileNotFoundError as cause:
        missing = f"the game {path.parent.relative_to(games)}" if games.is_dir() else "its games"
        raise MissingDataError(f"ALFWorld: {missing} are not here; looked for {path}. {cure}") from cause
    except OSError as cause:
        raise CorruptDataError(f"Cannot read {path}: {cause.strerror or cause}. {cure} --force") from cause
    except ValueError as cause:
        raise CorruptDataError(f"{path} is not JSON: {cause}. {cure} --force") from cause
    lacking = [key for key in _NEEDED if not isinstance(game, dict) or not isinstance(game.get(key), str)]
    if lacking:
        raise CorruptDataError(f"{path} lacks {', '.join(lacking)}. {cure} --force")
    return game  # type: ignore[no-any-return]
