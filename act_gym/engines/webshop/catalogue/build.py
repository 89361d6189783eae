"""Builds a catalogue's folder atomically and resumably.

The folder is written under a temporary name and moved into place at the end. Progress is saved every few thousand rows,
so a killed run resumes there. Only one run builds a folder at a time; others wait and use its result.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from act_gym.engines.webshop.catalogue.folder import (
    ASIN_WIDTH,
    FORMAT,
    MANIFEST,
    LineWriter,
    Products,
    pack,
    read_manifest,
)
from act_gym.engines.webshop.catalogue.noun_chunks import NounFinder
from act_gym.engines.webshop.catalogue.rows import document, human_instructions, synthetic_instruction
from act_gym.engines.webshop.product import Product
from act_gym.engines.webshop.search import build as build_search
from act_gym.engines.webshop.search import verify as verify_search
from act_gym.errors import ActGymError, CorruptDataError, DataError, MissingDataError, UsageError
from act_gym.io.download import FULL_DISK, file_sha256, full_disk
from act_gym.io.files import only_one
from act_gym.io.jsonl import write_json
from act_gym.progress import count_bar

__all__ = ["Item", "Source", "build", "lock_of"]

_BATCH = 1000  # rows whose nouns are found together
_NOTED = 5_000  # rows between two saves of the progress
_NOTES = "done.json"


@dataclass(frozen=True, slots=True)
class Item:
    """One row of a source.

    Attributes:
        product: The product; None if the row is skipped.
        skipped: The reason for skipping it.
        entry: Its entry in `items_ins_v2*.json`.
        people: Its entries in `items_human_ins.json`.
    """

    product: Product | None
    skipped: str = ""
    entry: object = None
    people: object = None


class Source(Protocol):
    """Source of a folder's products."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Identity of the source, as JSON values for the manifest."""
        ...

    @property
    def finder(self) -> NounFinder | None:
        """The noun finder; None if the products have their nouns."""
        ...

    @property
    def processes(self) -> int:
        """How many processes may share the work."""
        ...

    def details(self) -> Mapping[str, Any]:
        """Return further entries for the manifest; called at the end of the build."""
        ...

    def items(self, first: int) -> Iterator[Item]:
        """Yield the rows but the first ones, in order, and show how far it is."""
        ...


def build(place: Path, source: Source, *, force: bool = False) -> Mapping[str, Any]:
    """Build a folder, unless it already exists with this source.

    Args:
        place: Its path; the parent is created.
        source: The source of the products.
        force: Build it in any case.

    Returns:
        Its manifest.

    Raises:
        DownloadError: The disk is full. Finished work is kept for the next run.
        DataError: The source cannot be read, or has no product.
        MissingDependencyError: The noun model is not installed.
        UsageError: The place is not writable.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with only_one(lock_of(place), f"building {place}"):
            there = None if force else _current(place, source)
            if there is not None:
                return there
            draft = place.with_name(f".{place.name}.building")
            if force:
                shutil.rmtree(draft, ignore_errors=True)
            manifest = _Building(draft, place.name, source).run()
            _swap(draft, place)
            return manifest
    except OSError as cause:
        if isinstance(cause, ActGymError):
            raise
        if cause.errno in FULL_DISK:
            raise full_disk(place.parent) from cause
        raise UsageError(f"Cannot write to {place.parent}: {cause.strerror or cause}.") from cause


def lock_of(place: Path) -> Path:
    """Return the lock file for building a folder."""
    return place.with_name(f".{place.name}.lock")


def _current(place: Path, source: Source) -> Mapping[str, Any] | None:
    """Return the manifest of an existing folder if it is complete and of this source."""
    try:
        manifest = read_manifest(place, cure="")
    except DataError:
        return None
    return manifest if manifest.get("source") == source.identity else None


def _swap(draft: Path, place: Path) -> None:
    old = place.with_name(f".{place.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.replace(old)
    draft.replace(place)
    shutil.rmtree(old, ignore_errors=True)


class _Building:
    """One run that builds a folder, or resumes an earlier one."""

    def __init__(self, draft: Path, name: str, source: Source) -> None:
        self._draft = draft
        self._name = name
        self._source = source
        self._finder = source.finder
        nouns = self._finder.about if self._finder else {"model": "none: the products have them"}
        self._about = {"format": FORMAT, "source": dict(source.identity), "nouns": nouns}
        notes = _read_notes(draft / _NOTES)
        if notes.get("about") != self._about:
            shutil.rmtree(draft, ignore_errors=True)
            notes = {}
        draft.mkdir(exist_ok=True)
        self._rows = int(notes.get("rows", 0))
        self._whole = bool(notes.get("whole", False))
        self._skipped = Counter(notes.get("skipped", {}))
        self._goals = Counter(notes.get("goals", {}))
        self._sizes: dict[str, list[int]] = notes.get("files", {})

    def run(self) -> Mapping[str, Any]:
        """Do the remaining work and return the manifest."""
        if not self._whole:
            try:
                self._write_products()
            finally:
                if self._finder:
                    self._finder.close()
        self._sort_asins()
        self._index()
        return self._seal()

    def _write_products(self) -> None:
        with ExitStack() as stack:
            writers = {}
            for name in ("products", "synthetic", "human"):
                lines, size = self._sizes.get(name, (0, 0))
                writers[name] = LineWriter(self._draft, name, lines=lines, size=size)
                for file in writers[name].files():
                    stack.enter_context(file)
            count = writers["products"].lines
            path = self._draft / "asins.unsorted"
            asins = stack.enter_context(path.open("r+b" if path.exists() else "w+b"))
            known = asins.read(count * ASIN_WIDTH)
            seen = {known[at : at + ASIN_WIDTH] for at in range(0, len(known), ASIN_WIDTH)}
            asins.truncate(count * ASIN_WIDTH)
            asins.seek(0, os.SEEK_END)
            noted = self._rows
            for batch in self._with_nouns(self._batches(seen)):
                for item in batch:
                    if item.product is not None:
                        asins.write(_fixed(item.product.asin))
                    self._write(item, writers)
                if self._rows - noted >= _NOTED:
                    noted = self._rows
                    self._note(writers, [asins])
            self._whole = True
            self._note(writers, [asins])
        if not writers["products"].lines:
            shutil.rmtree(self._draft)
            raise CorruptDataError(f"The catalogue has no product; rows skipped: {dict(self._skipped) or 'none'}.")

    def _batches(self, seen: set[bytes]) -> Iterator[list[Item]]:
        """Yield the rows in batches, those whose identifier came before as skipped."""
        items = self._source.items(self._rows)
        while batch := list(islice(items, _BATCH)):
            for at, item in enumerate(batch):
                if item.product is not None:
                    asin = _fixed(item.product.asin)
                    if asin in seen:
                        batch[at] = Item(None, "identifier that came before")
                    seen.add(asin)
            yield batch

    def _with_nouns(self, batches: Iterator[list[Item]]) -> Iterator[list[Item]]:
        if self._finder is None:
            yield from batches
            return
        waiting: deque[tuple[list[Item], Future[list[tuple[str, ...]]]]] = deque()
        for batch in batches:
            waiting.append((batch, self._finder.submit([item.product.title for item in batch if item.product])))
            if len(waiting) > 4:
                yield _joined(*waiting.popleft())
        while waiting:
            yield _joined(*waiting.popleft())

    def _write(self, item: Item, writers: Mapping[str, LineWriter]) -> None:
        self._rows += 1
        if item.product is None:
            self._skipped[item.skipped] += 1
            return
        position = writers["products"].lines
        writers["products"].write(pack(item.product))
        made = synthetic_instruction(position, item.product, item.entry)
        found = {"synthetic": [made] if made else [], "human": list(human_instructions(position, item.people))}
        for kind, instructions in found.items():
            for each in instructions:
                writers[kind].write([each.position, each.text, each.attributes, each.options, each.goals])
                self._goals[kind] += each.goals

    def _note(self, writers: Mapping[str, LineWriter], others: list[Any]) -> None:
        for file in [*others, *(file for writer in writers.values() for file in writer.files())]:
            file.flush()
            os.fsync(file.fileno())
        self._sizes = {name: [writer.lines, writer.size] for name, writer in writers.items()}
        notes = {
            "about": self._about,
            "rows": self._rows,
            "whole": self._whole,
            "skipped": dict(self._skipped),
            "goals": dict(self._goals),
            "files": self._sizes,
        }
        write_json(self._draft / _NOTES, notes)

    def _sort_asins(self) -> None:
        asins = np.fromfile(self._draft / "asins.unsorted", dtype=f"S{ASIN_WIDTH}")
        positions = np.argsort(asins, kind="stable").astype("<u4")
        _write_array(self._draft / "asins", asins[positions])
        _write_array(self._draft / "positions", positions)

    def _index(self) -> None:
        folder = self._draft / "search"
        try:
            verify_search(folder)
        except MissingDataError:
            pass
        except CorruptDataError:
            shutil.rmtree(folder)
        else:
            return
        products = Products(self._draft)
        # Pyserini names documents by their identifiers, and among equal scores the lower name comes first.
        names = [asin.decode() for asin in np.fromfile(self._draft / "asins.unsorted", dtype=f"S{ASIN_WIDTH}")]
        with count_bar("Indexing", total=len(products)) as advance:
            build_search((document(product) for product in products), folder, names=names, progress=advance)

    def _seal(self) -> Mapping[str, Any]:
        passing = (_NOTES, "asins.unsorted")
        files = {
            path.relative_to(self._draft).as_posix(): {"size": path.stat().st_size, "sha256": file_sha256(path)}
            for path in sorted(self._draft.rglob("*"))
            if path.is_file() and path.name not in passing
        }
        manifest = {
            "name": self._name,
            **self._about,
            "details": dict(self._source.details()),
            "rows": self._rows,
            "products": self._sizes["products"][0],
            "skipped": dict(self._skipped),
            "instructions": {name: self._sizes[name][0] for name in ("synthetic", "human")},
            "goals": {name: self._goals[name] for name in ("synthetic", "human")},
            "files": files,
        }
        write_json(self._draft / MANIFEST, manifest)
        for name in passing:
            (self._draft / name).unlink()
        return manifest


def _joined(batch: list[Item], nouns: Future[list[tuple[str, ...]]]) -> list[Item]:
    found = iter(nouns.result())
    return [
        item if item.product is None else replace(item, product=replace(item.product, nouns=next(found)))
        for item in batch
    ]


def _fixed(asin: str) -> bytes:
    return asin.encode().ljust(ASIN_WIDTH, b"\0")


def _write_array(path: Path, array: np.ndarray[Any, Any]) -> None:
    with path.open("wb") as file:
        file.write(array.tobytes())
        file.flush()
        os.fsync(file.fileno())


def _read_notes(path: Path) -> Mapping[str, Any]:
    try:
        notes = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}
