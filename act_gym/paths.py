"""Folders on this machine: benchmark data, converted models, runs, and the one that act-gym was installed from."""

from __future__ import annotations

import json
import os
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["data_dir", "install_command"]


def data_dir() -> Path:
    """Return the cache folder: `ACT_GYM_DATA` if set, else the platform's cache folder for act-gym."""
    chosen = os.environ.get("ACT_GYM_DATA")
    if chosen:
        return Path(chosen).expanduser().resolve()
    from platformdirs import user_cache_path

    return user_cache_path("act-gym")


@cache
def install_command(extra: str = "", *, again: bool = False) -> str:
    """Return the pip command that installs act-gym with an extra, from the folder it came from if there is one.

    Args:
        extra: Its name; empty for none.
        again: Whether to replace the files of the installed version.
    """
    try:
        record = json.loads(distribution("act-gym").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        record = {}
    folder = record.get("dir_info")
    name = "act-gym" if folder is None else unquote(urlsplit(record["url"]).path)
    options = ("--force-reinstall --no-deps " if again else "") + ("-e " if folder and folder.get("editable") else "")
    wanted = f"{name}[{extra}]" if extra else name
    return f"pip install {options}'{wanted}'"  # always quoted: brackets are patterns to some shells
