"""Frozen manifests that ship with this package."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from act_gym.errors import CorruptDataError

__all__ = ["read_frozen"]


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
    found = hashlib.sha256(canonical.encode()).hexdigest()
    if found != sha256:
        raise CorruptDataError(
            f"{resource} has sha256 {found}; expected {sha256}. "
            "Reinstall act-gym: pip install --force-reinstall act-gym"
        )
    return content
