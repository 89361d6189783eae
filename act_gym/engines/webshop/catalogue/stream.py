"""Reads a JSON file that is one long array, element by element, in little memory.

WebShop's full catalogue is such a file, of 5.5 GB. Bytes that are no UTF-8 come through as lone surrogates, so that
one bad text spoils one element and not the file.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from act_gym.errors import CorruptDataError

__all__ = ["MAX_ELEMENT", "read_array"]

MAX_ELEMENT = 64 << 20
"""An element with more characters is taken for a file that is not what it should be."""

_BLOCK = 4 << 20
_SPACE = re.compile(r"[ \t\n\r]*")


def read_array(path: Path, report: Callable[[int], None] | None = None) -> Iterator[object]:
    """Yield the elements of the array in a file.

    Args:
        path: The file.
        report: Called now and then with how many bytes have been read.

    Raises:
        CorruptDataError: The file is no JSON array, is cut off, or goes on after it.
        OSError: It cannot be read.
    """
    scan = _Scan(path, report)
    with path.open("rb") as file:
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        while block := file.read(_BLOCK):
            yield from scan.feed(decoder.decode(block))
            scan.advance(len(block))
        yield from scan.feed(decoder.decode(b"", final=True), last=True)
    scan.finish()


class _Scan:
    """What has been read of an array and not yet been given away."""

    def __init__(self, path: Path, report: Callable[[int], None] | None) -> None:
        self._path = path
        self._report = report
        self._decode = json.JSONDecoder().raw_decode
        self._rest = ""
        self._wanted = 0  # how long the rest has to be before another try is worth it
        self._bytes = 0
        self._count = 0
        self._before = "["  # what has to stand before the next element; empty behind the array

    def advance(self, count: int) -> None:
        self._bytes += count
        if self._report:
            self._report(self._bytes)

    def feed(self, text: str, *, last: bool = False) -> Iterator[object]:
        """Add text and yield the elements that are complete with it."""
        text = self._rest + text
        if len(text) < self._wanted and not last:
            self._rest = text
            return
        at = 0
        while True:
            start = self._skip(text, at)
            if start is None:
                break
            try:
                element, end = self._decode(text, start)
            except (ValueError, RecursionError) as cause:
                self._judge(len(text) - start, cause, last=last)
                break
            if not last and self._may_go_on(text, end):
                break
            at, self._before, self._wanted = end, ",", 0
            self._count += 1
            yield element
        self._rest = text[at:] if self._before else ""

    def finish(self) -> None:
        if self._before:
            raise self._corrupt("it ends before the array does")

    def _skip(self, text: str, at: int) -> int | None:
        """Return where the next element begins; None if that is not there yet, or there is none."""
        at = self._over_space(text, at)
        if not self._before:
            if at < len(text):
                raise self._corrupt("something stands behind the array")
            return None
        if at == len(text):
            return None
        if text[at] == "]" and self._before == ",":
            self._close(text, at)
            return None
        if self._count == 0 and self._before == "[" and text[at] == "\ufeff":
            at = self._over_space(text, at + 1)
        if at == len(text) or text[at] != self._before:
            raise self._corrupt(f"expected {self._before!r}, found {text[at : at + 20]!r}")
        at = self._over_space(text, at + 1)
        if at < len(text) and text[at] == "]" and self._before == "[":
            self._close(text, at)
            return None
        return at if at < len(text) else None

    def _close(self, text: str, at: int) -> None:
        self._before = ""
        if text[at + 1 :].strip(" \t\n\r"):
            raise self._corrupt("something stands behind the array")

    @staticmethod
    def _may_go_on(text: str, end: int) -> bool:
        """Return whether an element may be longer than it looks: a number, of which `1`, `1.` or `1e+` is there."""
        return len(text) - end < 3 and text[end : end + 1] not in (",", "]")

    @staticmethod
    def _over_space(text: str, at: int) -> int:
        found = _SPACE.match(text, at)
        assert found is not None
        return found.end()

    def _judge(self, length: int, cause: Exception, *, last: bool) -> None:
        """Wait for more of an element that is incomplete, or say that it is none."""
        if last or length > MAX_ELEMENT or isinstance(cause, RecursionError):
            raise self._corrupt(f"{type(cause).__name__}: {cause}") from cause
        self._wanted = 2 * length  # so that a long element is not tried again with every block

    def _corrupt(self, why: str) -> CorruptDataError:
        return CorruptDataError(
            f"{self._path} is no JSON array that can be read: behind element {self._count:,}, near byte "
            f"{self._bytes:,}: {why}. Fetch the file again: act-gym download webshop --force"
        )
