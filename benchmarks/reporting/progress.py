"""Progress of a running evaluation: a live view in a terminal, lines in a pipe.

In a terminal a table is drawn again and again on stderr: progress and success of every split, speed, failures
by cause, the last episodes. Elsewhere a plain line is written now and then. Names and errors come from
environments and models and are hostile: they are shown without control and direction characters, on one line,
cut short, and never read as markup.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from act_gym.types import Turn
from benchmarks.html_report.markup import plain
from benchmarks.reporting.tables import bounds, percent
from benchmarks.stats.intervals import Interval, wilson
from benchmarks.stats.scores import is_error

__all__ = ["LINE_EVERY", "Progress", "one_line", "watch"]

LINE_EVERY = 10.0
"""Seconds between two lines in a pipe."""
_LAST = 6  # episodes listed
_CAUSES = 5  # causes of failure listed


def one_line(text: str, limit: int = 80) -> str:
    """Make any text one short, harmless line.

    Args:
        text: Anything, from anybody.
        limit: The longest result in characters.
    """
    line = plain(" ".join(text[: 8 * limit].split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"


@dataclass
class _Split:
    """How far one split is. A task that is played with several seeds counts once in the interval."""

    total: int
    done: int = 0
    successes: int = 0
    errors: int = 0
    tasks: set[str] = field(default_factory=set)

    @property
    def success(self) -> Interval | None:
        if not self.tasks:
            return None
        share = self.successes / self.done
        return wilson(share * len(self.tasks), len(self.tasks))

    def in_words(self) -> str:
        """Return success so far; without an interval where episodes ended with an error."""
        share = self.success
        if share is None:
            return ""
        if self.errors:
            return f" {percent(share.value)} %, {self.errors:,} errors"
        return f" {percent(share.value)} % {bounds(share.low, share.high)}"


class Progress:
    """Counts played episodes.

    Args:
        totals: How many episodes each environment has to be played, by its id.
        before: Flat records of an earlier run that is being continued; they are no part of the speed.
        clock: Returns seconds; a test passes its own.
    """

    def __init__(
        self,
        totals: Mapping[str, int],
        before: Iterable[Mapping[str, Any]] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.splits = {env_id: _Split(total) for env_id, total in totals.items()}
        self.failures: Counter[str] = Counter()
        self.last: deque[Mapping[str, Any]] = deque(maxlen=_LAST)
        self.played = self.tokens_read = self.tokens_written = 0
        self._by_turns = False
        self._clock = clock
        self._started = clock()
        for record in before:
            self._count(record)

    def add(self, record: Mapping[str, Any]) -> None:
        """Count the flat record of an episode that has just been played."""
        self._count(record)
        self.played += 1
        if not self._by_turns:
            self.tokens_read += record["prompt_tokens"]
            self.tokens_written += record["completion_tokens"]
        self.last.append(record)

    def turn(self, turn: Turn) -> None:
        """Count a turn as soon as it was played, so that the speed of long episodes is known before they end."""
        self._by_turns = True
        self.tokens_read += turn.prompt_tokens
        self.tokens_written += turn.completion_tokens

    @property
    def seconds(self) -> float:
        """Seconds since the run was started or continued."""
        return max(1e-9, self._clock() - self._started)

    def figures(self) -> str:
        """Return time and speed in one line."""
        seconds, left = self.seconds, sum(split.total - split.done for split in self.splits.values())
        parts = [_clock_time(seconds)]
        if self.played:
            parts.append(f"{60 * self.played / seconds:,.1f} episodes/min")
        if self.tokens_read:
            read, written = self.tokens_read / seconds, self.tokens_written / seconds
            parts.append(f"tokens/s: {read:,.0f} read, {written:,.1f} written")
        if self.played and left > 0:
            parts.append(f"about {_clock_time(left * seconds / self.played)} left")
        return " · ".join(parts)

    def numbers(self) -> dict[str, float]:
        """Return success and speed so far by name, e.g. `progress/act/ALFWorld-unseen/success`."""
        found = {
            "progress/episodes_per_minute": 60 * self.played / self.seconds,
            "progress/tokens_read_per_second": self.tokens_read / self.seconds,
            "progress/tokens_written_per_second": self.tokens_written / self.seconds,
        }
        for env_id, split in self.splits.items():
            found[f"progress/{env_id}/done"] = split.done
            found[f"progress/{env_id}/errors"] = split.errors
            if split.success is not None:
                found[f"progress/{env_id}/success"] = split.success.value
        return found

    def line(self) -> str:
        """Return everything in one plain line, for a pipe."""
        splits = [
            f"{one_line(env_id)} {split.done}/{split.total}{split.in_words()}" for env_id, split in self.splits.items()
        ]
        return " | ".join([*splits, self.figures()])

    def __rich__(self) -> Group:
        """Return what the terminal shows now."""
        parts: list[Any] = [self._table(), Text(self.figures(), style="cyan")]
        if self.failures:
            causes = [f"{count}× {cause}" for cause, count in self.failures.most_common(_CAUSES)]
            more = len(self.failures) - len(causes)
            parts.append(
                Text("without success: " + " · ".join(causes) + (f" · {more} more causes" if more > 0 else ""))
            )
        parts += [_episode(record) for record in self.last]
        return Group(*parts)

    def _count(self, record: Mapping[str, Any]) -> None:
        split = self.splits.setdefault(record["env_id"], _Split(0))
        split.done += 1
        split.successes += bool(record["success"])
        split.errors += is_error(record)
        split.tasks.add(record["task_id"])
        if record["error"]:
            self.failures[f"{record['stop']}: {one_line(record['error'])}"] += 1
        elif not record["success"]:
            self.failures["step limit" if record["stop"] == "truncated" else "ended without success"] += 1

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for heading in ("", "episodes", "", "errors", "success, %", "95 %"):
            table.add_column(heading, justify="right" if heading else "left")
        for env_id, split in self.splits.items():
            share = split.success
            table.add_row(
                Text(one_line(env_id, 40)),
                f"{split.done:,}/{split.total:,}",
                ProgressBar(total=max(1, split.total), completed=split.done, width=24),
                f"{split.errors:,}",
                percent(share.value) if share else "–",
                bounds(share.low, share.high) if share and not split.errors else "–",
            )
        return table


@contextmanager
def watch(progress: Progress, file: TextIO | None = None) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Show the progress until the block ends; in a pipe, as a line now and then and one at the end.

    Args:
        progress: The counts.
        file: Where to; None for stderr.

    Yields:
        A function that takes the flat record of every finished episode.
    """
    console = Console(file=file or sys.stderr, highlight=False, markup=False, emoji=False)
    if console.is_terminal and not console.is_dumb_terminal:
        with Live(progress, console=console, refresh_per_second=4, redirect_stdout=False, redirect_stderr=False):
            yield progress.add
        return
    written = 0.0

    def count(record: Mapping[str, Any]) -> None:
        nonlocal written
        progress.add(record)
        if progress.seconds - written >= LINE_EVERY:
            written = progress.seconds
            console.file.write(progress.line() + "\n")
            console.file.flush()

    try:
        yield count
    finally:
        console.file.write(progress.line() + "\n")
        console.file.flush()


def _episode(record: Mapping[str, Any]) -> Text:
    sign, style = ("✓", "green") if record["success"] else ("✗", "red" if record["error"] else "dim")
    words = f"{record['task_id']} · {record['task_type']} · seed {record['seed']} · {record['turns']} turns"
    ending = f"score {record['score']:.2f}" if not record["error"] else record["error"]
    return Text(
        f"{sign} {one_line(words, 90)} · {one_line(ending, 50)}", style=style, no_wrap=True, overflow="ellipsis"
    )


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
