"""Installation of WebShop's own catalogues: downloads or copies their files, checks them and builds their folders.

The files are deleted after the build; playing needs only the folder.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from act_gym.engines.webshop.catalogue.build import build, lock_of
from act_gym.engines.webshop.catalogue.files import CatalogueFiles
from act_gym.engines.webshop.catalogue.folder import read_manifest, verify
from act_gym.engines.webshop.catalogue.noun_chunks import find_model
from act_gym.engines.webshop.catalogue.shop import OFFICIAL, generated, shops_folder
from act_gym.errors import ActGymError, CorruptDataError, DataError, DownloadError, UnknownNameError, UsageError
from act_gym.io.archive import unpack
from act_gym.io.download import FULL_DISK, fetch, file_sha256, full_disk
from act_gym.io.files import only_one
from act_gym.progress import byte_bar

__all__ = ["FILES", "OfficialFile", "install"]

_DRIVE = "https://drive.google.com/uc?id={}"
_MIRROR = "https://huggingface.co/datasets/YWZBrandon/webshop-data/resolve/main/{}"


@dataclass(frozen=True)
class OfficialFile:
    """Official file of WebShop's authors.

    Attributes:
        role: Its content: `products`, `attributes` or `people`.
        name: Its name.
        size: Its size in bytes.
        sha256: Its hexadecimal sha256.
        drive: Its identifier on Google Drive.
    """

    role: str
    name: str
    size: int
    sha256: str
    drive: str

    def addresses(self, base_url: str | None) -> tuple[str, ...]:
        """Return where it can be fetched, the best place first."""
        if base_url:
            return (f"{base_url.rstrip('/')}/{self.name}",)
        return _DRIVE.format(self.drive), _MIRROR.format(self.name)


_PEOPLE = OfficialFile(
    "people",
    "items_human_ins.json",
    5_137_548,
    "cf78667548a71786e1d9049c24b802e48e1084ad4bb021cae56ce1f6d96954a3",
    "14Kb5SPBk_jfdLZ_CDBNitW98QLDlKR5O",
)

FILES: Mapping[str, tuple[OfficialFile, ...]] = {
    "1000": (
        OfficialFile(
            "products",
            "items_shuffle_1000.json",
            4_467_013,
            "30a4765c3a327af72d9a9a95a6b2486d516f0fa1d3ecd83681901ce82a21b269",
            "1EgHdxQ_YxqIQlvvq5iKlCrkEKR6-j0Ib",
        ),
        OfficialFile(
            "attributes",
            "items_ins_v2_1000.json",
            147_099,
            "f88a36314a397b53b3d9c3fa5878e5f7b26d35019a51ec83fbedeca61a948f6f",
            "1IduG0xl544V_A_jv3tHXC0kyFi7PnyBu",
        ),
        _PEOPLE,
    ),
    "full": (
        OfficialFile(
            "products",
            "items_shuffle.json",
            5_479_720_229,
            "2ef591d65df3af89e972ab72468eb82cbf124d876552d9f3678667edd620a6c8",
            "1A2whVgOO0euk5O13n2iYDM0bQRkkRduB",
        ),
        OfficialFile(
            "attributes",
            "items_ins_v2.json",
            186_295_270,
            "1d36af476bdb8f82a5da62bd8acdabe54cd8de2fa84010d37da5c4890feb447e",
            "1s2j6NgHljiZzQNL3veZaAiyW_qDEgBNi",
        ),
        _PEOPLE,
    ),
}
"""Files of each catalogue: the Google Drive files of princeton-nlp/WebShop's `setup.sh`."""


def install(
    catalogue: str = "1000",
    source: str | None = None,
    *,
    force: bool = False,
    base_url: str | None = None,
    nouns: str | None = None,
    files: Sequence[OfficialFile] | None = None,
    pause: float = 1.0,
    processes: int | None = None,
) -> str:
    """Install a WebShop catalogue in the cache folder and return a summary.

    Args:
        catalogue: `1000` or `full`; or a generated one, built now on all cores instead of at its first use.
        source: A folder or an archive with the files under their own names; None for the official ones. Files that
            differ from the official ones are accepted and noted in the manifest.
        force: Download and build it even if it is complete.
        base_url: URL of a mirror with the files under their own names.
        nouns: The package of the spaCy model for nouns; None for the small English one.
        files: The files to download.
        pause: Seconds before a failed request is tried again.
        processes: The number of processes; None for a default by catalogue.

    Raises:
        UnknownNameError: The catalogue does not exist.
        DownloadError: A download failed, or the disk is full. Received bytes are kept.
        CorruptDataError: The content is wrong.
        MissingDependencyError: The noun model is not installed.
        UsageError: The source cannot be used.
    """
    made = generated(catalogue, processes or _processes(catalogue))
    if made and source is None:
        build(*made, force=force)
        return f"The shop is ready: {describe(made[0])}."
    if catalogue not in OFFICIAL:
        raise UnknownNameError("catalogue of WebShop to download named", catalogue, (*OFFICIAL, "generated"))
    place = shops_folder() / catalogue
    if source is None and not force and _is_whole(place, nouns):
        return f"WebShop's catalogue is complete already: {describe(place)}. --force fetches it again."
    find_model(nouns)  # before gigabytes are fetched that could not be used
    fetched = shops_folder() / f"files-{catalogue}"
    wanted = FILES[catalogue] if files is None else tuple(files)
    try:
        fetched.mkdir(parents=True, exist_ok=True)
        with only_one(lock_of(fetched), f"filling {fetched}"):
            fetched.mkdir(exist_ok=True)  # the run that was waited for may have deleted it
            folder = _take(source, wanted, fetched) if source else _fetch_all(wanted, fetched, base_url, pause)
            paths = _paths(folder, wanted, source)
            build(place, _with_sums(paths, wanted, nouns, processes or _processes(catalogue)), force=force)
            shutil.rmtree(fetched, ignore_errors=True)
    except OSError as cause:
        if isinstance(cause, ActGymError):
            raise
        if cause.errno in FULL_DISK:
            raise full_disk(fetched) from cause
        raise UsageError(f"Cannot write to {fetched}: {cause.strerror or cause}.") from cause
    return f"WebShop's catalogue is ready: {describe(place)}."


def describe(place: Path) -> str:
    """Return a summary of a folder, as text."""
    manifest = read_manifest(place, cure="")
    skipped = sum(manifest["skipped"].values())
    goals = manifest["goals"]
    text = f"{manifest['products']:,} products, {goals['synthetic']:,} synthetic and {goals['human']:,} human goals"
    text += f" in {place}"
    if skipped:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(manifest["skipped"].items()))
        text += f"; {skipped:,} of {manifest['rows']:,} rows were skipped: {reasons}"
    other = manifest["details"].get("not_official", [])
    if other:
        text += f"; not the official bytes: {', '.join(other)}"
    return text


def _is_whole(place: Path, nouns: str | None) -> bool:
    try:
        verify(place)
        return bool(read_manifest(place, cure="")["source"].get("nouns") == nouns)
    except DataError:
        return False


def _fetch_all(wanted: Sequence[OfficialFile], folder: Path, base_url: str | None, pause: float) -> Path:
    _need_room(folder, wanted)
    for file in wanted:
        _fetch(file, folder, base_url, pause)
    return folder


def _fetch(file: OfficialFile, folder: Path, base_url: str | None, pause: float) -> None:
    """Fetch a file from the first place that has it."""
    failures: list[DataError] = []
    for address in file.addresses(base_url):
        try:
            with byte_bar(f"Fetching {file.name}") as report:
                fetch(address, folder / file.name, size=file.size, sha256=file.sha256, report=report, pause=pause)
        except (DownloadError, CorruptDataError) as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in FULL_DISK:
                raise
            failures.append(error)
        else:
            return
    if len(failures) == 1:
        raise failures[0]
    raise DownloadError(
        f"{file.name} could not be fetched from any of {len(failures)} places. "
        + " ".join(str(failure) for failure in failures)
        + " Or fetch its files by other means and run: act-gym download webshop --source FOLDER"
    ) from failures[-1]


def _take(source: str, wanted: Sequence[OfficialFile], fetched: Path) -> Path:
    """Return the folder of a source's files; an archive is unpacked."""
    path = Path(source).expanduser()
    if not path.exists():
        raise UsageError(f"No file or folder {path}. --source takes a folder or an archive with WebShop's files.")
    if path.is_dir():
        return path
    names = {file.name for file in wanted}

    def place(name: str) -> Path | None:
        last = PurePosixPath(name).name
        return fetched / last if last in names else None

    unpack(path, place)
    return fetched


def _paths(folder: Path, wanted: Sequence[OfficialFile], source: str | None) -> dict[str, Path]:
    """Return the paths of the files; only human instructions may be missing, and only from a user's source."""
    found = {file.role: folder / file.name for file in wanted if (folder / file.name).is_file()}
    missing = [file.name for file in wanted if file.role not in found]
    if "products" not in found or "attributes" not in found:
        raise UsageError(f"{source} has no {' and no '.join(missing)}. They are WebShop's own names of its files.")
    if missing:
        sys.stderr.write(f"Note: {source} has no {missing[0]}, so there are no goals that people wrote.\n")
    return found


def _with_sums(
    paths: Mapping[str, Path], wanted: Sequence[OfficialFile], nouns: str | None, processes: int
) -> CatalogueFiles:
    """Return the files as a source that is known by their sums, and that says which are not the official ones."""
    sums = {role: file_sha256(path) for role, path in paths.items()}
    other = [file.name for file in wanted if file.role in sums and sums[file.role] != file.sha256]
    notes = {"not_official": other} if other else {}
    return CatalogueFiles(**paths, processes=processes, model=nouns, sums=sums, notes=notes)


def _processes(catalogue: str) -> int:
    """Return how many processes look for nouns: one takes two seconds for 1,000 products, and 30 minutes for all."""
    return 1 if catalogue == "1000" else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2


def _need_room(folder: Path, wanted: Sequence[OfficialFile]) -> None:
    """Refuse to begin where the files, and a folder of about their size, will not fit."""
    there = sum(path.stat().st_size for path in folder.iterdir())
    needed = 2 * sum(file.size for file in wanted) - there
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise full_disk(folder, needed - free)
