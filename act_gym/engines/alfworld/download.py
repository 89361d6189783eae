"""Installation of ALFWorld's games: downloads or copies, checks and moves them into the cache folder.

The cache folder holds `alfworld/json_2.1.1/{train,valid_seen,valid_unseen}/<game>/<trial>/` with the files of the
official release, so upstream's own tools can use it too, and the store of compiled games for the native engine. The old
games stay until the new ones are complete: a killed run leaves one of the two, and the next run cleans up.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from act_gym.engines.alfworld.files import GAME_FILE, GAMES_FOLDER
from act_gym.engines.alfworld.store import STORE_FILE, GameStore, build_store
from act_gym.errors import ActGymError, CorruptDataError, UsageError
from act_gym.io.archive import unpack
from act_gym.io.download import FULL_DISK, fetch, full_disk
from act_gym.io.files import only_one
from act_gym.paths import data_dir
from act_gym.progress import byte_bar, track
from act_gym.splits.alfworld import COUNTS, tasks
from act_gym.types import Task

__all__ = ["BASE_URL", "RELEASE", "ReleaseFile", "count_games", "install"]

BASE_URL = "https://github.com/alfworld/alfworld/releases/download"


@dataclass(frozen=True)
class ReleaseFile:
    """One file of an official release.

    Attributes:
        address: Its address below the base address.
        size: Its size in bytes.
        sha256: Its hexadecimal sha256.
        holds: Which file of every game is taken from it.
        unpacked: About how many bytes these files have.
    """

    address: str
    size: int
    sha256: str
    holds: str
    unpacked: int


RELEASE = (
    ReleaseFile(
        "0.4.2/json_2.1.3_tw-pddl.zip",
        36_507_267,
        "5df77ea759f2211a4106082839ddbbb790f1ba4e7d097ed732cf453f72aa36cf",
        GAME_FILE,
        310_000_000,
    ),
    ReleaseFile(
        "0.2.2/json_2.1.1_json.zip",
        72_018_818,
        "25171f16e20ad7b048c47275c45b0babf3aa1cbab29cec97387922350a9844bc",
        "traj_data.json",
        340_000_000,
    ),
    ReleaseFile(
        "0.2.2/json_2.1.1_pddl.zip",
        34_881_784,
        "913942ebed06659ea0da2f8122512d98bc6add30d84961ca803132d8fbcad585",
        "initial_state.pddl",
        180_000_000,
    ),
)
"""The files upstream publishes. The engines read the first kind; upstream's own loader asks for all."""


def install(
    source: str | None = None,
    *,
    force: bool = False,
    games_only: bool = False,
    base_url: str = BASE_URL,
    release: tuple[ReleaseFile, ...] = RELEASE,
    pause: float = 1.0,
) -> str:
    """Install ALFWorld's games in the cache folder and return a summary.

    Args:
        source: An archive or a folder of the games, or a URL of an archive; None for the official release.
        force: Replace the present games, even if they are complete or more.
        games_only: Only `game.tw-pddl`, the only file that the engines read.
        base_url: URL of the release or of a mirror.
        release: The release's files.
        pause: Seconds before a failed request is tried again.

    Raises:
        DownloadError: A download failed, or the disk is full. Received bytes are kept.
        CorruptDataError: The content is wrong.
        UsageError: The source cannot be used.
    """
    kinds = (GAME_FILE,) if games_only else tuple(file.holds for file in release)
    place = data_dir() / GAMES_FOLDER
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with only_one(place.parent / ".lock", f"filling {place.parent}"):
            staging = _clear_up(place)
            if not force and _missing(place, kinds) == 0:
                prepared = "" if _has_store(place) else _prepare(place)
                return f"ALFWorld is complete already: {describe(place)}.{prepared} --force fetches it again."
            try:
                if source is None:
                    wanted = [file for file in release if file.holds in kinds]
                    _fetch_release(wanted, place.parent / "archives", staging, base_url, pause)
                else:
                    _take_source(source, kinds, place.parent / "archives", staging, pause)
                _check(staging, place, kinds, source, force=force)
                prepared = _prepare(staging)
                _swap(staging, place)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
            shutil.rmtree(place.parent / "archives", ignore_errors=True)
            return f"ALFWorld is ready: {describe(place)}.{prepared}"
    except OSError as cause:
        if isinstance(cause, ActGymError):
            raise
        if cause.errno in FULL_DISK:
            raise full_disk(place.parent) from cause
        raise UsageError(f"Cannot write to {place.parent}: {cause.strerror or cause}.") from cause


def count_games(place: Path) -> dict[str, int]:
    """Return for each split how many of its games are in a folder."""
    return {split: sum((place / _game(task) / GAME_FILE).is_file() for task in tasks(split)) for split in COUNTS}


def describe(place: Path) -> str:
    """Return the number of games of each split in a folder, as text."""
    found = count_games(place)
    parts = [
        f"{found[split]:,} {split}"
        if found[split] == COUNTS[split]
        else f"{found[split]:,} of {COUNTS[split]:,} {split}"
        for split in COUNTS
    ]
    return f"{', '.join(parts)} games in {place}"


def _game(task: Task) -> str:
    return str(task.payload["game"])


def _missing(place: Path, kinds: tuple[str, ...]) -> int:
    if not place.is_dir():
        return sum(COUNTS.values())
    return sum(not all((place / _game(task) / kind).is_file() for kind in kinds) for task in tasks())


def _placer(staging: Path, kinds: tuple[str, ...]) -> Callable[[str], Path | None]:
    """Return a function that maps the last four parts of a file's name to its destination, None for other files."""
    games = {_game(task) for task in tasks()}

    def place(name: str) -> Path | None:
        parts = PurePosixPath(name).parts
        game = "/".join(parts[-4:-1])
        return staging / game / parts[-1] if parts[-1] in kinds and game in games else None

    return place


def _fetch_release(files: list[ReleaseFile], archives: Path, staging: Path, base_url: str, pause: float) -> None:
    archives.mkdir(exist_ok=True)
    there = sum(path.stat().st_size for path in archives.iterdir())
    _need_room(archives, sum(file.size + file.unpacked for file in files) - there)
    for file in files:
        url = f"{base_url.rstrip('/')}/{file.address}"
        with byte_bar(f"Fetching {Path(file.address).name}") as report:
            fetch(
                url,
                archives / Path(file.address).name,
                size=file.size,
                sha256=file.sha256,
                report=report,
                pause=pause,
            )
    for file in files:
        unpack(archives / Path(file.address).name, _placer(staging, (file.holds,)))


def _take_source(source: str, kinds: tuple[str, ...], archives: Path, staging: Path, pause: float) -> None:
    address = urlsplit(source)
    if address.scheme in ("http", "https"):
        archives.mkdir(exist_ok=True)
        name = f"{hashlib.sha256(source.encode()).hexdigest()[:16]}-{PurePosixPath(address.path).name}"
        with byte_bar(f"Fetching {source}") as report:
            path = fetch(source, archives / name, report=report, pause=pause)
    else:
        path = Path(unquote(address.path) if address.scheme == "file" else source).expanduser()
        if not path.exists():
            raise UsageError(f"No file or folder {path}. --source takes an archive, a folder or an http(s) address.")
    if path.is_file():
        _need_room(archives.parent, path.stat().st_size)
    try:
        unpack(path, _placer(staging, kinds))
    except CorruptDataError:
        if path.parent == archives:
            path.unlink(missing_ok=True)  # fetched without a checksum: download it again next time
        raise


def _need_room(folder: Path, needed: int) -> None:
    if shutil.disk_usage(folder).free < needed:
        raise full_disk(folder, needed - shutil.disk_usage(folder).free)


def _check(staging: Path, place: Path, kinds: tuple[str, ...], source: str | None, *, force: bool) -> None:
    """Refuse a source without games, with fewer than the release, or with fewer than already installed."""
    found = sum(count_games(staging).values())
    expected = sum(COUNTS.values())
    if not found:
        raise CorruptDataError(
            f"{source or 'The release'} holds none of ALFWorld's {expected:,} games: no "
            f"<split>/<game>/<trial>/{GAME_FILE} with a split of train, valid_seen or valid_unseen."
        )
    lacking = _missing(staging, kinds)
    if source is None and lacking:
        raise CorruptDataError(f"The release lacks files of {lacking:,} of {expected:,} games. Its games are kept.")
    there = sum(count_games(place).values())
    if found < there and not force:
        raise UsageError(
            f"{source} holds fewer games ({found:,}) than {place} ({there:,}). To replace them, add --force."
        )
    if found < expected:
        sys.stderr.write(
            f"Note: {source} holds {found:,} of {expected:,} games. Tasks whose game is missing cannot be played.\n"
        )


def _has_store(place: Path) -> bool:
    try:
        return GameStore.find(place) is not None
    except CorruptDataError:
        return False


def _prepare(place: Path) -> str:
    """Build the store of a folder's games and return a summary. The games can be played without it."""
    names = [_game(task) for task in tasks() if (place / _game(task) / GAME_FILE).is_file()]
    try:
        refused = build_store(place, track(names, "Preparing games", total=len(names)))
        size = (place / STORE_FILE).stat().st_size
    except (CorruptDataError, OSError, sqlite3.Error) as cause:
        sys.stderr.write(f"Note: the games were not prepared, so each one takes longer to start: {cause}\n")
        return ""
    for name, reason in refused.items():
        sys.stderr.write(f"Note: {name} was not prepared: {reason}\n")
    return f" {len(names) - len(refused):,} are prepared to start at once ({size / 1e6:.1f} MB in {STORE_FILE})."


def _clear_up(place: Path) -> Path:
    """Undo what a killed run left half done; return a fresh folder to unpack into."""
    staging, old = place.with_name(".unpacking"), place.with_name(".old")
    if old.exists() and not place.exists():
        old.replace(place)
    for leftover in (staging, old):
        if leftover.exists():
            shutil.rmtree(leftover)
    for unfinished in place.glob(f".{STORE_FILE}.*"):
        unfinished.unlink()
    return staging


def _swap(staging: Path, place: Path) -> None:
    old = place.with_name(".old")
    if place.exists():
        place.replace(old)
    staging.replace(place)
    shutil.rmtree(old, ignore_errors=True)
