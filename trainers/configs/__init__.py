"""Configurations of `accelerate launch`: how several processes share a model. docs/scale.md says which to take."""

from __future__ import annotations

from pathlib import Path

from act_gym.errors import UnknownNameError

__all__ = ["config_file", "names"]

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Return the names of the configurations: ddp, zero2, zero2-offload, …."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def config_file(name: str) -> Path:
    """Return a configuration's file.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name not in names():
        raise UnknownNameError("configuration of a launch", name, names())
    return _FOLDER / f"{name}.yaml"
