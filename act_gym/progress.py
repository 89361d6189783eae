"""Progress bars on stderr; silent if stderr is not a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["byte_bar", "count_bar", "track"]

T = TypeVar("T")


def track(items: Iterable[T], label: str, *, total: int | None = None, done: int = 0) -> Iterator[T]:
    """Yield the items and count them in a bar on stderr.

    Args:
        items: The items, one step each.
        label: A short description of the work.
        total: The number of steps of the whole work; None if unknown.
        done: Steps already done, in a resumed run.
    """
    with count_bar(label, total=total, done=done) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def count_bar(label: str, *, total: int | None = None, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Show a bar for work in steps; call the function it gives with the number of further steps done.

    Args:
        label: A short description of the work.
        total: The number of steps of the whole work; None if unknown.
        done: Steps already done, in a resumed run.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(label, total=total, completed=done)
        yield lambda more: progress.advance(bar, more)


@contextmanager
def byte_bar(label: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar for a transfer; call the function it gives with (bytes received, bytes in total)."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)
