"""Stops a run whose first episodes all end with the same error: a broken agent or simulator fails on every task."""

from __future__ import annotations

import re
from collections.abc import Iterable

from act_gym.errors import FailedEpisodesError
from benchmarks.stats.scores import Record, is_error

__all__ = ["EarlyStop"]

_FIRST = 5  # episodes; one error in five of them may be a task's own
_PLACE = re.compile(r"\((?P<file>[^()]+:\d+)\)$")  # where an exception was raised; see `agents.workers.processes`


class EarlyStop:
    """Counts the first episodes of a run, until one ends without an error or with another one.

    Args:
        before: Flat records of episodes that are not played again; the count begins after them.
        limit: How many equal errors end the run; 0 for none.
    """

    def __init__(self, before: Iterable[Record] = (), *, limit: int = _FIRST) -> None:
        self._left = 0 if any(not is_error(record) for record in before) else limit
        self._cause: tuple[str, ...] | None = None

    def add(self, record: Record) -> None:
        """Count the flat record of an episode that has just ended.

        Raises:
            FailedEpisodesError: It was the last of the first episodes, and all of them ended with the same error.
        """
        if not self._left:
            return
        cause = _cause(record)
        self._cause = self._cause or cause
        if not is_error(record) or cause != self._cause:
            self._left = 0
            return
        self._left -= 1
        if not self._left:
            raise FailedEpisodesError(
                f"The first {_FIRST} episodes ended with the same error, so the run stopped. The last one: "
                f"{record['stop']}: {record['error']}\n"
                "Mend the cause and continue with --resume, or play all episodes with --resume --keep-going."
            )


def _cause(record: Record) -> tuple[str, ...]:
    """Return what two equal errors have in common: kind and place of an exception, or a message without its numbers."""
    error = str(record["error"])
    place = _PLACE.search(error)
    if place:
        return record["stop"], error.partition(":")[0], place["file"]
    return record["stop"], re.sub(r"\d+", "0", error.replace(record["task_id"], ""))
