"""BM25, bit for bit as in Lucene 8 and 9: with their 32-bit operations and rounded lengths.

A term's score in a document is `w - w / (1 + f n)`: w is the term's weight, f its frequency in the document, and n
decreases with the document's length. Each operation rounds to 32 bits. A document's score is the sum over terms in 64
bits, rounded to 32 at the end; the terms differ so little in size that the sum in 64 bits is exact, in any order.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["K1", "LENGTHS", "B", "denominators", "length_byte", "weight"]

K1 = np.float32(0.9)
"""How soon further occurrences of a term stop to count; pyserini's default."""

B = np.float32(0.4)
"""How much long documents are held back; pyserini's default."""

_EXACT = 24  # lengths below are kept as they are: what 255 leaves free after four bits for each of 28 sizes


def _decoded(byte: int) -> int:
    if byte < _EXACT:
        return byte
    size, digits = divmod(byte - _EXACT, 8)
    return _EXACT + (digits if size == 0 else (digits | 8) << (size - 1))


LENGTHS: NDArray[np.int64] = np.array([_decoded(byte) for byte in range(256)])
"""Length that each byte encodes, ascending: Lucene's `SmallFloat.byte4ToInt`."""


def length_byte(lengths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Round lengths down to one byte each.

    Args:
        lengths: How many terms documents have, with repetitions; 0 or more.
    """
    return (np.searchsorted(LENGTHS, lengths, side="right") - 1).astype(np.uint8)


def denominators(
    frequencies: NDArray[np.int64], length_bytes: NDArray[np.uint8], *, terms: int, documents: int
) -> NDArray[np.float32]:
    """Return `1 + f n` for pairs of a frequency and a length.

    Args:
        frequencies: How often a term is in a document.
        length_bytes: The document's length.
        terms: How many terms all documents have together, with repetitions.
        documents: How many documents have any term.
    """
    average = np.float32(terms / max(documents, 1))
    one = np.float32(1)
    shares = K1 * ((one - B) + B * LENGTHS.astype(np.float32) / average) if average else np.ones(256, np.float32)
    inverses = one / shares
    return one + frequencies.astype(np.float32) * inverses[length_bytes]


def weight(count: int, *, having: int, documents: int) -> np.float32:
    """Return a query's term's weight: its inverse document frequency, as often as the query has it.

    Args:
        count: How often the query has it.
        having: How many documents have it.
        documents: How many have any term.
    """
    return np.float32(count) * np.float32(math.log(1 + (documents - having + 0.5) / (having + 0.5)))
