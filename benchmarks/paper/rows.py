"""Contents of the paper's tables: rows with recipes, columns with measurements, published numbers.

Source: arXiv 2603.08706, version 1 (9 March 2026) and version 2 (8 October 2026).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from act_gym.errors import UnknownNameError

__all__ = ["COLUMNS", "RECIPES", "ROWS", "Column", "Row", "Version", "columns_of", "published", "rows_of"]

Version = Literal["v2", "v1"]
RECIPES = Path(__file__).resolve().parents[2] / "trainers" / "recipes"


@dataclass(frozen=True)
class Row:
    """One way to train.

    Attributes:
        name: On the command line, and of its recipe in `trainers/recipes/<version>/`.
        title: As a table shows it.
        prompted: Whether the model is only asked; its recipe is then one of `act-gym eval`.
        published_only: Whether there is no recipe here, so that its cells stay empty.
    """

    name: str
    title: str
    prompted: bool = False
    published_only: bool = False

    def recipe(self, version: Version) -> Path:
        """Return the file that says what the row does."""
        return RECIPES / version / f"{self.name}.yaml"


@dataclass(frozen=True)
class Column:
    """One number of a row.

    Attributes:
        benchmark: `alfworld`, `webshop` or `scienceworld`.
        title: As a table shows it.
        kind: Kind of run that measures it: `episodes`, `next_action` or `judge`.
        name: The measurement's name.
        split: Which side: `seen`, `unseen`, `test`; empty for all there is.
        place: Index among the published numbers; −1 if the paper has no such column.
    """

    benchmark: str
    title: str
    kind: str
    name: str
    split: str = ""
    place: int = -1


_PROMPTS = (
    Row("prompt", "Prompting, no reasoning", prompted=True),
    Row("prompt-reasoning", "Prompting, with reasoning", prompted=True),
)

ROWS: Mapping[Version, tuple[Row, ...]] = {
    "v2": (
        *_PROMPTS,
        Row("act", "ACT stage only"),
        Row("il", "IL"),
        Row("early-experience-reflection", "Early Experience: self-reflection"),
        Row("early-experience-world", "Early Experience: world modelling"),
        Row("sand", "SAND", published_only=True),
        Row("agent-r", "Agent-R", published_only=True),
        Row("il-il", "IL→IL"),
        Row("act-il", "ACT→IL"),
        Row("il-rl", "IL→RL"),
        Row("il-rl-rl", "IL→RL→RL"),
        Row("choice-il-rl", "SFT-on-choice→IL→RL"),
        Row("dpo-il-rl", "DPO→IL→RL"),
        Row("act-without-reasoning-il-rl", "ACT without reasoning→IL→RL"),
        Row("act-il-rl", "ACT→IL→RL"),
    ),
    "v1": (
        *_PROMPTS,
        Row("act", "ACT stage only"),
        Row("il", "IL"),
        Row("early-experience", "Early Experience"),
        Row("rl", "RL"),
        Row("act-il", "ACT→IL"),
        Row("act-rl", "ACT→RL"),
    ),
}

_EPISODES = (
    Column("alfworld", "ALFWorld ID", "episodes", "success", "seen", 0),
    Column("alfworld", "ALFWorld OOD", "episodes", "success", "unseen", 1),
    Column("webshop", "WebShop", "episodes", "success", "test", 2),
)
COLUMNS: Mapping[Version, tuple[Column, ...]] = {
    "v2": (*_EPISODES, Column("scienceworld", "ScienceWorld score", "episodes", "score", "test", 3)),
    "v1": (*_EPISODES, Column("scienceworld", "ScienceWorld next action", "next_action", "accuracy", "test", 3)),
}


def rows_of(version: Version, names: Sequence[str]) -> tuple[Row, ...]:
    """Return the rows of that name in the table's order; all if none is named.

    Raises:
        UnknownNameError: The table has no such row.
    """
    known = {row.name: row for row in ROWS[version]}
    for name in names:
        if name not in known:
            raise UnknownNameError(f"row of the table {version} named", name, known)
    return tuple(row for row in ROWS[version] if not names or row.name in names)


def columns_of(version: Version, benchmarks: Sequence[str], *, judge: bool) -> tuple[Column, ...]:
    """Return the columns of some benchmarks: the paper's, then our additional ones."""
    chosen = [column for column in COLUMNS[version] if column.benchmark in benchmarks]
    if judge:
        names = dict.fromkeys(column.benchmark for column in chosen)
        titles = {"alfworld": "ALFWorld", "webshop": "WebShop", "scienceworld": "ScienceWorld"}
        chosen += [Column(name, f"{titles[name]} judgement", "judge", "accuracy") for name in names]
    return tuple(chosen)


@cache
def _tables() -> Mapping[str, Any]:
    import yaml

    content: Mapping[str, Any] = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))
    return content


def published(version: Version, model: str) -> tuple[str, Mapping[str, Sequence[Sequence[float]]]]:
    """Return the model whose published numbers fit best, and they by row: mean and, if given, deviation.

    Args:
        version: Which table.
        model: A name or a folder; if none of the published models is in it, Qwen3-8B's are taken.
    """
    table = _tables()[version]
    fitting = next((name for name in table if name.lower() in model.lower()), "Qwen3-8B")
    return fitting, table[fitting]
