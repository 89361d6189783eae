"""Frozen manifests that ship with this package."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from act_gym.errors import CorruptDataError
from act_gym.paths import install_command

__all__ = ["read_checked", "read_frozen"]


def read_frozen(name: str, sha256: str) -> Mapping[str, Any]:
    """Return a manifest of this folder.

    Args:
        name: Its file name.
        sha256: The sha256 of its content as JSON with sorted keys and no spaces.

    Raises:
        CorruptDataError: It does not have the expected sha256.
    """
    resource = files("act_gym.splits") / name
    content: Mapping[str, Any] = json.loads(resource.read_text(encoding="utf-8"))
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    _check(resource, canonical.encode(), sha256)
    return content


def read_checked(file: Path, sha256: str) -> bytes:
    """Return the content of a file of this package.

    Raises:
        CorruptDataError: It does not have the expected sha256.
    """
    content = file.read_bytes()
    _check(file, content, sha256)
    return content


def _check(file: object, content: bytes, sha256: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise CorruptDataError(f"{file} has sha256 {found}; expected {sha256}. Run: {install_command(again=True)}")
