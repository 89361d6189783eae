"""Lines of the log for whoever watches: notes and warnings that help."""

from __future__ import annotations

import sys

from trainers.run import distributed

__all__ = ["note"]


def note(text: str) -> None:
    """Write one line of the log to stderr; of several processes only the first does."""
    if not distributed.is_first():
        return
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
