"""Names of catalogues."""

from __future__ import annotations

import os

from act_gym.errors import UsageError

__all__ = ["Named", "name_of"]

Named = str | os.PathLike[str] | int
"""A catalogue's name or path; WebShop's own small one is as good as the number 1000."""


def name_of(catalogue: Named) -> str:
    """Return a catalogue's name or path as text.

    Raises:
        UsageError: It is neither.
    """
    if isinstance(catalogue, int) and not isinstance(catalogue, bool):
        return str(catalogue)
    try:
        return os.fspath(catalogue)  # type: ignore[arg-type]  # a bool is refused below
    except TypeError:
        raise UsageError(f"A catalogue of WebShop is a name or a path, e.g. 1000; got {catalogue!r}.") from None
