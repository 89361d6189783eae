"""A progress bar on stderr for long work; silent when stderr is not a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["byte_bar", "count_bar", "track"]

T = TypeVar("T")


def track(items: Iterable[T], label: str, *, total: int | None = None, done: int = 0) -> Iterator[T]:
    """Yield the items while a bar on stderr counts them.

    Args:
        items: What is counted, one step each.
        label: What is being done, in a few words.
        total: How many steps the whole work has; None if nobody knows.
        done: How many of them were done before, by a run that is being continued.
    """
    with count_bar(label, total=total, done=done) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def count_bar(label: str, *, total: int | None = None, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Show a bar for work that is done in steps; the function it gives is called with how many more are done.

    Args:
        label: What is being done, in a few words.
        total: How many steps the whole work has; None if nobody knows.
        done: How many of them were done before, by a run that is being continued.
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
    """Show a bar for a transfer; the function it gives is called with (bytes there, bytes in all)."""
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
