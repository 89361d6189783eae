"""ALFWorld's two engines: `native`, in plain Python, and `textworld`, on upstream's packages.

Their factories are here, so that both accept the same options and neither imports the other.
"""

from __future__ import annotations

from act_gym.engine import Engine

__all__ = ["make_native", "make_textworld"]


def make_native(*, data: str | None = None, legacy_commands: bool = False) -> Engine:
    """Return the pure Python engine.

    Args:
        data: Folder with `train`, `valid_seen` and `valid_unseen`; None for the cache folder.
        legacy_commands: Use `put` as before ALFWorld 0.4; see `legacy_commands.py`.
    """
    from act_gym.engines.alfworld.native import NativeEngine

    return _worded(NativeEngine(data=data), legacy_commands)


def make_textworld(*, data: str | None = None, legacy_commands: bool = False) -> Engine:
    """Return the engine that plays on upstream's packages; the arguments are those of `make_native`.

    Raises:
        MissingDependencyError: The packages are not installed.
    """
    from act_gym.engines.alfworld.textworld import TextWorldEngine

    return _worded(TextWorldEngine(data=data), legacy_commands)


def _worded(engine: Engine, legacy_commands: bool) -> Engine:
    if not legacy_commands:
        return engine
    from act_gym.engines.alfworld.legacy_commands import LegacyCommands

    return LegacyCommands(engine)
