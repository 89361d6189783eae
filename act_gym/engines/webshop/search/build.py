"""Builds a search index from documents that come one by one, in runs that fit into memory and are joined at the end.

A run is a file of its own, named after what its documents say. A build that was killed and is started again with the
same documents finds the runs that were finished and goes on behind them.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from act_gym.engines.webshop.search.files import FORMAT, HEADER
from act_gym.engines.webshop.search.merge import merge
from act_gym.engines.webshop.search.runs import forget, write_run
from act_gym.errors import DataError, UsageError
from act_gym.io.download import FULL_DISK

__all__ = ["build"]

RUN_DOCUMENTS = 1 << 16
RUN_LETTERS = 1 << 26
"""A run ends when it has so many documents or letters: about 1 GB while it is made."""

RUNS = "runs"

_SURROGATES = "surrogatepass"


def build(
    documents: Iterable[str],
    folder: Path,
    *,
    names: Sequence[str] | None = None,
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Build a search index.

    Args:
        documents: The texts; the first one is at position 0. They are read once.
        folder: Where the index comes to lie; made if it is not there. It opens only when all of it is written, and
            what is left there of an unfinished build of the same documents is used.
        names: The documents' names, of which the lower one comes first where scores are equal, as Lucene does it in
            pyserini; without them, the document that came first. Read only after the last document, so that they
            may be collected on the way.
        workers: How many processes analyse documents beside this one, which reads them; 0 if this one does both.
        progress: Called with how many documents have been analysed since it was last called.

    Raises:
        UsageError: There is an index in the folder, or not as many names as documents.
        DataError: The disk is full. What is finished stays, and the next build goes on with it.
    """
    if (folder / HEADER).exists():
        raise UsageError(f"{folder} has a search index already. Give another folder, or delete it first.")
    try:
        (folder / RUNS).mkdir(parents=True, exist_ok=True)
        runs = _write_runs(documents, folder / RUNS, workers, progress or (lambda _: None))
        merge(runs, folder, names)
        shutil.rmtree(folder / RUNS)
    except OSError as cause:
        if cause.errno not in FULL_DISK:
            raise
        raise DataError(
            f"The disk of {folder} is full ({cause.strerror}). Free some space and build again: it goes on from here."
        ) from cause
    finally:
        forget()


def _write_runs(documents: Iterable[str], folder: Path, workers: int, progress: Callable[[int], None]) -> list[Path]:
    paths = []
    if not workers:
        for texts, path in _chosen(documents, folder):
            if not path.exists():
                write_run(texts, path)
            paths.append(path)
            progress(len(texts))
        return paths
    # Started afresh and not forked: the caller may have threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:
        pending: dict[Future[None], int] = {}
        for texts, path in _chosen(documents, folder):
            paths.append(path)
            if path.exists():
                progress(len(texts))
                continue
            while len(pending) >= workers:
                _collect(pending, progress)
            pending[pool.submit(write_run, texts, path)] = len(texts)
        while pending:
            _collect(pending, progress)
    return paths


def _end_with_parent() -> None:
    """See to it that this process ends when the one that started it does, even if that was killed."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _collect(pending: dict[Future[None], int], progress: Callable[[int], None]) -> None:
    for future in wait(pending, return_when=FIRST_COMPLETED).done:
        future.result()
        progress(pending.pop(future))


def _chosen(documents: Iterable[str], folder: Path) -> Iterator[tuple[list[str], Path]]:
    """Divide documents into runs; the same documents are always divided in the same way."""
    texts: list[str] = []
    letters, number = 0, 0
    for text in documents:
        texts.append(text)
        letters += len(text)
        if len(texts) == RUN_DOCUMENTS or letters >= RUN_LETTERS:
            yield texts, _path(folder, number, texts)
            texts, letters, number = [], 0, number + 1
    if texts:
        yield texts, _path(folder, number, texts)


def _path(folder: Path, number: int, texts: Sequence[str]) -> Path:
    known = hashlib.blake2b(digest_size=16, person=b"search %d" % FORMAT)
    for text in texts:
        content = text.encode("utf-8", _SURROGATES)
        known.update(b"%d " % len(content))
        known.update(content)
    return folder / f"{number:05d}-{known.hexdigest()}.npz"
