"""Data sheet of a file of pairs: its contents, its exclusions with their causes, and its defects.

    act-gym train datasheet --pairs runs/x/pairs/pairs.jsonl

`trainers.pairs` writes a short data sheet from its files alone (`pair_stats.py`). This program adds the tokens of a
model, and executes both actions of pairs to find alternatives that are as good as the expert's (`execution.py`).
It writes `datasheet.json`, `datasheet.md`, and the compared pairs as `comparisons.jsonl`.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from act_gym.config import Bound, parse, read_settings
from act_gym.errors import UsageError
from act_gym.io.jsonl import RecordWriter, read_records, replacing, write_json
from act_gym.io.run_dir import sha256_of
from act_gym.progress import track
from act_gym.types import ActionPair, ExpertStep, Turn
from agents.prompt_config import CONVERSATION, view_of
from trainers.data.execution import Comparison, compare_all
from trainers.data.pair_stats import as_markdown, datasheet
from trainers.data.questions import read_pairs

__all__ = ["DatasheetConfig", "compared", "hidden_knowledge", "hidden_names", "lengths", "main"]


_WORD = re.compile(r"[a-z0-9]+")
# Words of the simulator's commands and of the names that it makes of parts, which a player knows from the prompt.
_KNOWN = frozenset(
    _WORD.findall(
        "a activate agent and anode around at cathode close connect containing deactivate disconnect door "
        "down dunk eat examine focus go in into inventory it living look mix move on open pick pour put read "
        "reset self task teleport terminal the thing to up use wait wait1 "
    )
)


def hidden_names(step: ExpertStep, *, free_texts: bool = True) -> tuple[str, ...]:
    """Return the words of an expert's action that neither the goal nor a text so far has shown.

    A word that was shown anywhere counts as known, so this is a lower bound: the contents of a room that was only named
    are not considered.

    Args:
        step: A state of ScienceWorld.
        free_texts: Whether the room and the inventory count in addition to the observations, where the record has them.
    """
    texts = [step.goal]
    states: tuple[Turn | ExpertStep, ...] = (*step.history, step)
    for state in states:
        texts += [state.observation, *(state.observed.values() if free_texts else ())]
    known = _KNOWN.union(_WORD.findall(" ".join(texts).lower()))
    return tuple(dict.fromkeys(word for word in _WORD.findall(step.expert_action.lower()) if word not in known))


def hidden_knowledge(steps: Iterable[ExpertStep]) -> dict[str, Any]:
    """Count ScienceWorld's states whose expert action rests on hidden knowledge.

    Returns:
        `states`; the shares of them, 0-1, `share` and `share_by_observations` (without room and inventory); `by_type`:
        states with a hidden name and all states of each task type. Empty if no state is of ScienceWorld.
    """
    states: Counter[str] = Counter()
    hidden: Counter[str] = Counter()
    by_observations = 0
    for step in steps:
        if step.task.benchmark == "ScienceWorld":
            states[step.task.task_type] += 1
            hidden[step.task.task_type] += bool(hidden_names(step))
            by_observations += bool(hidden_names(step, free_texts=False))
    if not states:
        return {}
    return {
        "states": states.total(),
        "share": hidden.total() / states.total(),
        "share_by_observations": by_observations / states.total(),
        "by_type": {name: [hidden[name], count] for name, count in sorted(states.items())},
    }


Tokens = Callable[[str], int]


@dataclass(frozen=True, kw_only=True)
class DatasheetConfig:
    """Write the data sheet of a file of pairs."""

    pairs: Path = Path("runs/pairs/pairs.jsonl")
    """The pairs, from trainers.pairs."""
    execute: Annotated[int, Bound(least=-1)] = 200
    """Pairs whose two actions are executed, spread evenly over the file; 0 executes none, -1 all."""
    env_options: tuple[str, ...] = ()
    """The engine's own settings as name=value, those that the episodes were collected with."""
    model: str = "smollm2"
    """Model whose tokens are counted, a folder or a name; only its tokenizer is read; empty for none."""
    out: Path | None = None
    """Where the data sheet goes; the pairs' folder if left out."""


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    arguments = parse(DatasheetConfig, argv, program="act-gym train datasheet")
    folder = arguments.out or arguments.pairs.parent
    pairs = read_pairs(arguments.pairs)
    beside = [arguments.pairs.with_name(name) for name in ("decisions.jsonl", "proposals.jsonl")]
    sheet = {"pairs_sha256": sha256_of(arguments.pairs), **datasheet(arguments.pairs, *beside)}
    sheet |= {"hidden_knowledge": hidden_knowledge(_states(beside[0], pairs))}
    sheet |= {"lengths": lengths(pairs, _tokens(arguments.model) if arguments.model else None)}
    sheet["tokenizer"] = arguments.model
    if arguments.execute:
        found = _carried_out(arguments, pairs)
        sheet |= compared(found)
        (folder / "comparisons.jsonl").unlink(missing_ok=True)
        with RecordWriter(folder / "comparisons.jsonl") as file:
            for one in found:
                file.write({**asdict(one), "as_good": one.as_good})
    write_json(folder / "datasheet.json", sheet)
    text = as_markdown(sheet, str(arguments.pairs))
    with replacing(folder / "datasheet.md") as file:
        file.write(text)
    sys.stdout.write(text)
    return 0


def _states(decisions: Path, pairs: Sequence[ActionPair]) -> Iterable[ExpertStep]:
    """Return all expert states; those of the pairs where there is no file of all."""
    if decisions.exists():
        return map(ExpertStep.from_json, read_records(decisions))
    return {pair.step.id: pair.step for pair in pairs}.values()


def lengths(pairs: Sequence[ActionPair], tokens: Tokens | None = None) -> dict[str, dict[str, float]]:
    """Return mean, median, 95th percentile and largest length of the texts in pairs; a question as a conversation.

    Args:
        pairs: At least one.
        tokens: Counts a text's tokens; if it is given, tokens are measured as well as characters.
    """
    texts = {
        "expert": [pair.step.expert_action for pair in pairs],
        "alternative": [pair.alternative for pair in pairs],
        "observation": [pair.step.observation for pair in pairs],
        "question": [
            "\n".join(message["content"] for message in CONVERSATION.judging(view_of(pair.step), *pair.actions))
            for pair in pairs
        ],
    }
    units: dict[str, Callable[[str], int]] = {"characters": len} | ({} if tokens is None else {"tokens": tokens})
    return {
        f"{name}_{unit}": _spread([count(text) for text in of])
        for name, of in texts.items()
        for unit, count in units.items()
    }


def compared(found: Sequence[Comparison]) -> dict[str, Any]:
    """Summarise comparisons.

    Returns:
        `compared`: the number of comparisons; the share, 0-1, of each property of `Comparison`; `as_good_by_type`. A
        property that needs plans is a share of the pairs whose engine has them, and is left out if none has.
    """
    if not found:
        return {"compared": 0}
    planned = [one for one in found if one.plans]
    sheet: dict[str, Any] = {"compared": len(found), "planned": len(planned)}
    for name in ("carried_out", "same_observation", "same_state", "nothing_changed", "as_good"):
        sheet[name] = sum(getattr(one, name) for one in found) / len(found)
    for name in ("no_longer", "shorter", "lost") if planned else ():
        sheet[name] = sum(getattr(one, name) for one in planned) / len(planned)
    types = sorted({one.task_type for one in found})
    by_type = {name: [one.as_good for one in found if one.task_type == name] for name in types}
    sheet["as_good_by_type"] = {name: [sum(values), len(values)] for name, values in by_type.items()}
    return sheet


def _spread(values: Sequence[int]) -> dict[str, float]:
    middle, high = np.percentile(values, [50, 95]).tolist()
    return {"mean": float(np.mean(values)), "median": middle, "p95": high, "max": float(max(values))}


def _carried_out(arguments: DatasheetConfig, pairs: Sequence[ActionPair]) -> list[Comparison]:
    if arguments.execute < -1:
        raise UsageError(f"--execute is a number of pairs, 0 for none or -1 for all; got {arguments.execute}.")
    count = len(pairs) if arguments.execute == -1 else min(arguments.execute, len(pairs))
    chosen = [pairs[place * len(pairs) // count] for place in range(count)]
    options: Mapping[str, Any] = read_settings(arguments.env_options, "--env-options")
    return list(track(compare_all(chosen, options), "pairs", total=len(chosen)))


def _tokens(model: str) -> Tokens:
    from transformers import AutoTokenizer

    from trainers.run.checkpoints import find_model
    from trainers.run.logging import quiet

    quiet()
    tokenizer = AutoTokenizer.from_pretrained(find_model(model))
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])


if __name__ == "__main__":
    from act_gym.cli import run

    raise SystemExit(run(main, sys.argv[1:]))
