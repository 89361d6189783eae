"""The best few of a million documents without looking at all that have one of the query's words.

The terms are taken in the order of what they can add at most. After each one, the best documents so far are worked out
to the end, which tells what the last place costs. When all further terms together cannot add as much, no new document
can get in; from there on only documents that still can are looked up, and most soon cannot (Turtle and Flood, "Query
evaluation: strategies and optimizations", 1995). Nothing is approximate: a document is left out only where its score,
rounded to 32 bits, is lower than that of as many others as are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Postings", "best", "exhaustive"]

_SAMPLE = 2
"""How many times the limit of documents are worked out to the end to learn what the last place costs."""

_LOOKUP = 12
"""How many postings can be added up in the time in which one document is looked up among them, about."""

_SCAN = 64
"""How many scores can be looked at in a row in the time in which one document is found to be there twice, about."""

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Postings:
    """The documents that have a term.

    Attributes:
        documents: Which, rising.
        codes: For each what it is worth, as a place in `worth`.
        worth: What each code adds to a document's score; 0 for code 0.
        bound: The most that any of them adds.
    """

    documents: NDArray[np.int32]
    codes: NDArray[Any]
    worth: Scores
    bound: float

    def values(self) -> Scores:
        """Return what each document gets."""
        values: Scores = self.worth[self.codes]
        return values

    def of(self, documents: NDArray[Any]) -> Scores:
        """Return what some documents get, which may not have the term; they rise."""
        places = np.searchsorted(self.documents, documents)
        np.minimum(places, len(self.documents) - 1, out=places)
        return np.where(self.documents[places] == documents, self.worth[self.codes[places]], 0.0)


def exhaustive(postings: Sequence[Postings], limit: int, scores: Scores) -> NDArray[np.int64]:  # noqa: ARG001
    """Add up all there is and return all documents that have any of the terms; else as `best`."""
    for term in postings:
        scores[term.documents] += term.values()
    return np.flatnonzero(scores)


def best(postings: Sequence[Postings], limit: int, scores: Scores) -> NDArray[np.int64]:
    """Return documents among which are the best, up to `limit` of them and all that have the last one's score.

    Args:
        postings: Of the query's terms, in any order.
        limit: How many are wanted, at least 1.
        scores: One for each document, 0; afterwards those of the returned documents are right, and others are not.
    """
    ordered = sorted(postings, key=lambda term: -term.bound)
    rest = [*np.cumsum([term.bound for term in reversed(ordered)])[::-1].tolist(), 0.0]
    needed, used = 0.0, 0
    for used, term in enumerate(ordered):
        if rest[used] < needed:
            break
        scores[term.documents] += term.values()
        needed = max(needed, _needed(term.documents, ordered[used + 1 :], limit, scores))
    else:
        used = len(ordered)
    candidates = _candidates(ordered[:used], scores, needed - rest[used])
    for place in range(used, len(ordered)):
        term = ordered[place]
        if len(candidates) * _LOOKUP < len(term.documents):
            scores[candidates] += term.of(candidates)
        else:
            scores[term.documents] += term.values()
        reached = scores[candidates]
        needed = max(needed, _last(reached, limit))
        candidates = candidates[reached >= needed - rest[place + 1]]
    return candidates


def _needed(documents: NDArray[np.int32], others: Sequence[Postings], limit: int, scores: Scores) -> float:
    """Return a score that the last place certainly has, from the most promising of some documents."""
    reached = scores[documents]
    if len(documents) > _SAMPLE * limit:
        chosen = np.sort(np.argpartition(reached, -_SAMPLE * limit)[-_SAMPLE * limit :])
        documents, reached = documents[chosen], reached[chosen]
    for term in others:
        reached = reached + term.of(documents)
    return _last(reached, limit)


def _last(reached: Scores, limit: int) -> float:
    """Return what less than means not among the best `limit`, even where scores are equal when rounded."""
    if len(reached) < limit:
        return 0.0
    last = np.float32(np.partition(reached, -limit)[-limit])
    return float(np.nextafter(last, np.float32(0)))


def _candidates(used: Sequence[Postings], scores: Scores, least: float) -> NDArray[np.int64]:
    """Return the documents of some terms whose scores are not below; rising."""
    if sum(len(term.documents) for term in used) > len(scores) // _SCAN:
        return np.flatnonzero(scores >= max(least, np.finfo(np.float64).tiny))
    found = np.concatenate([term.documents[scores[term.documents] >= least] for term in used])
    found.sort()
    return found[np.diff(found, prepend=-1) > 0].astype(np.int64)
