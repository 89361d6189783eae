"""The leaderboard: takes runs in, checks them, and makes its pages.

    act-gym leaderboard                       # leaderboard.html and docs/leaderboard.md from leaderboard/
    act-gym leaderboard --check               # plays every episode again and works out every number again
    act-gym leaderboard --add runs/mine       # an entry of each suite that a run played

An entry is small and holds every action, so anybody can check it; see `benchmarks.leaderboard.submission` and
docs/leaderboard.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from act_gym.config import parse
from act_gym.errors import MissingDataError, MissingDependencyError, UsageError
from act_gym.io.jsonl import replacing
from act_gym.progress import track
from benchmarks.html_report.ranking import markdown, ranking
from benchmarks.leaderboard.submission import Entry, entries_below, make_entries
from benchmarks.leaderboard.verify import check

__all__ = ["LeaderboardConfig", "main"]


@dataclass(frozen=True)
class LeaderboardConfig:
    """Make the leaderboard's pages, check its entries, or take runs in."""

    folder: Positional[Path] = Path("leaderboard")
    """Where the entries are; with --check also one of them."""
    check: bool = False
    """Check instead: suites, numbers, and every episode played again. The exit status says whether all fits."""
    replays: int = 0
    """Episodes of each entry that --check plays again at most; 0 for all."""
    add: tuple[Path, ...] = ()
    """Run folders of act-gym eval --suite to make entries of, which are checked at once."""
    label: str = ""
    """Name of the agent on the page; the run's own label or the agent's name if empty."""
    count_errors: bool = False
    """With --add, take also runs in which episodes ended with an error, and count each of them as a failure."""
    out: Path = Path("leaderboard.html")
    """The page."""
    markdown: Path = Path("docs/leaderboard.md")
    """The page as Markdown."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(LeaderboardConfig, sys.argv[1:] if argv is None else argv, program="act-gym leaderboard")
    if arguments.replays < 0:
        raise UsageError(f"--replays is 0 (all) or more; got {arguments.replays}.")
    if arguments.add:
        made = [
            entry
            for run in arguments.add
            for entry in make_entries(run, arguments.folder, arguments.label, count_errors=arguments.count_errors)
        ]
        return _check_all(made, arguments.replays)
    entries = entries_below(arguments.folder)
    if arguments.check:
        return _check_all(entries, arguments.replays)
    with replacing(arguments.out) as page:
        page.writelines(ranking(entries))
    with replacing(arguments.markdown) as text:
        text.write(markdown(entries))
    sys.stdout.write(f"{len(entries)} entries: {arguments.out}, {arguments.markdown}\n")
    return 0


def _check_all(entries: Sequence[Entry], replays: int) -> int:
    """Say of each entry whether it fits; returns 1 if one does not, or could not be played again."""
    wrong = 0
    for entry in track(entries, "checked", total=len(entries)):
        try:
            problems = list(check(entry, replays=replays))
        except (MissingDataError, MissingDependencyError) as error:
            problems = [f"could not be played again: {error}"]
        wrong += bool(problems)
        sys.stdout.write(f"{'refused' if problems else 'fits'}\t{entry.folder}\n")
        sys.stdout.writelines(f"\t{problem}\n" for problem in problems[:10])
        if len(problems) > 10:
            sys.stdout.write(f"\t… and {len(problems) - 10} more\n")
    return int(wrong > 0)


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
