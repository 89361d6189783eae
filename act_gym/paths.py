"""Folders on this machine: benchmark data, converted models, runs."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["data_dir"]


def data_dir() -> Path:
    """Return the cache folder: `ACT_GYM_DATA` if set, else the platform's cache folder for act-gym."""
    chosen = os.environ.get("ACT_GYM_DATA")
    if chosen:
        return Path(chosen).expanduser().resolve()
    from platformdirs import user_cache_path

    return user_cache_path("act-gym")
