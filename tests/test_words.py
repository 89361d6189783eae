"""The prose of the project is plain English: words of a private style may become rarer, never more frequent.

Counts them in docstrings, comments and other texts of the sources, and in the Markdown of the documentation.
Quotations and code do not count.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("act_gym", "agents", "trainers", "benchmarks", "scripts")
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md")
QUOTED = re.compile(r"```.*?```|``.*?``|`[^`\n]*`|\"[^\"]*\"|“[^”]*”|https?://\S+|^>.*?$", re.DOTALL | re.MULTILINE)
SENTENCE = r"(?:\A|(?<=[.!?:;])\s|(?<=\n\n)|(?<=\n)- |\| )"
COMMENT = re.compile(r"^(?P<code>\s*|.*\S  )#:? (?P<text>.*)$")
WORDS = {
    **{word: rf"\b{word}\b" for word in ("stands", "lies", "told", "beside", "besides", "anew", "nobody", "somebody")},
    **{word: rf"\b{word}\b" for word in ("whoever", "in words")},
    "goes on": r"\bgo(?:es|ing)? on\b(?! (?:a|an|the) )",
    "what came of": r"\bwhat (?:came|comes|became|becomes) of\b",
    "What …": SENTENCE + r"\s*(?-i:What)(?:ever)?\b[^.?]*(?:[.]|\Z)",
    "what is": r"(?<![.?] )\bwhat (?:is|are|was|were|stands|lies)\b(?![^.]*\?)",
}
CEILINGS = {
    "stands": 3,
    "lies": 1,
    "told": 1,
    "beside": 0,
    "besides": 0,
    "anew": 0,
    "nobody": 0,
    "somebody": 0,
    "whoever": 0,
    "in words": 0,
    "goes on": 3,
    "what came of": 0,
    "What …": 3,
    "what is": 7,
}


@cache
def texts() -> dict[str, list[tuple[int, str]]]:
    """Return the prose of every file as (line, text), without quotations and code."""
    found = {}
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            found[str(path.relative_to(ROOT))] = list(of_source(path.read_text(encoding="utf-8")))
    for pattern in PAGES:
        for path in sorted(ROOT.glob(pattern)):
            found[str(path.relative_to(ROOT))] = [(1, path.read_text(encoding="utf-8"))]
    return {name: [(line, QUOTED.sub(blank, text)) for line, text in parts] for name, parts in found.items()}


def of_source(source: str) -> Iterator[tuple[int, str]]:
    """Yield docstrings and other strings that hold more than one word, then blocks of comments."""
    inner = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            inner |= {id(part) for part in node.values}
            parts = [part.value if isinstance(part, ast.Constant) else "_" for part in node.values]
            yield node.lineno, "".join(str(part) for part in parts)
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in inner
            and " " in node.value
        ):
            yield node.lineno, node.value
    block: list[str] = []
    for number, line in enumerate([*source.splitlines(), ""], 1):
        comment = COMMENT.search(line)
        if comment and comment["code"].strip():  # at the end of a line of code
            yield number, comment["text"]
        elif comment:
            block.append(comment["text"])
        elif block:
            yield number - len(block), "\n".join(block)
            block = []


def blank(quotation: re.Match[str]) -> str:
    """Keep the lines of a quotation, so that line numbers stay right."""
    return "_" + "\n" * quotation.group().count("\n")


@pytest.mark.parametrize("word", WORDS)
def test_a_private_word_becomes_no_more_frequent(word):
    pattern = re.compile(WORDS[word], re.IGNORECASE)
    places = []
    for name, parts in texts().items():
        for first, text in parts:
            for hit in pattern.finditer(text):
                line = first + text[: hit.start()].count("\n")
                places.append(f"{name}:{line}: {' '.join(text[max(0, hit.start() - 30) : hit.end() + 30].split())}")
    total = sum(len(text.split()) for parts in texts().values() for _, text in parts)
    rate = 100_000 * len(places) / total
    assert len(places) <= CEILINGS.get(word, 0), f"{rate:.1f} in {total:,} words\n" + "\n".join(places)
