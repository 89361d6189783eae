"""Ablation of ACT before imitation against its controls, on a small model and a CPU, over several seeds.

    .venv/bin/python scripts/ablation.py --env act/ALFWorld --seeds 3 [--out runs/ablation]

Every row sees the same expert states and is measured on the same held-out ones, of tasks like those it
was trained on and of tasks unlike them. Every stage has as many steps of as many sequences. The controls are
the paper's: IL twice, and SFT on the choice in ACT's place, which gets the answer that ACT has to find. Like the
quickstart it is a chain of the project's own programs; finished steps are not repeated. It ends with a table
of means over the seeds and their population standard deviations, and a table of the gain of ACT→IL over IL and
the controls, state by state, with a 95 % bootstrap interval over tasks. Both are written to `table.md` too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import numpy as np
from quickstart import RECIPES, SEEN, UNSEEN, Step, run_steps

from act_gym.io.jsonl import read_records
from benchmarks.stats.intervals import bootstrap_mean

# Types of short episodes; ALFWorld's unseen games are of the same types in other rooms.
TYPES = {"act/ALFWorld": ((), ()), "act/ScienceWorld": (SEEN, UNSEEN)}
TRAINING = {"act/ALFWorld": "train", "act/ScienceWorld": "train-seen"}
ROWS = ("base", "warm-up", "ACT", "choice", "IL", "IL→IL", "choice→IL", "ACT→IL")
BESIDE = ("IL", "IL→IL", "choice→IL")


def collected(env: str, root: Path) -> Iterator[Step]:
    """Yield the steps that make the shared data of all rows."""
    seen, unseen = TYPES[env]
    for name, split, types, per_type in (
        ("train", TRAINING[env], seen, 6),
        ("seen", "seen", seen, 3),
        ("unseen", "unseen", unseen, 6 if unseen else 3),
    ):
        wanted = ["--env", f"{env}-{split}", "--per-type", str(per_type)]
        if types:
            wanted += ["--task-types", *types]
        yield Step(f"Expert episodes, {name}", "trainers.collect", root / "collect" / name, tuple(wanted))
    for name, states in (("train", 96), ("seen", 40), ("unseen", 40)):
        episodes = str(root / "collect" / name / "episodes.jsonl")
        wanted = ["--recipe", str(RECIPES / "pairs.yaml"), "--episodes", episodes, "--limit", str(states)]
        yield Step(f"Alternatives of the initial model, {name}", "trainers.pairs", root / "pairs" / name, tuple(wanted))


def trained(seed: int, root: Path) -> Iterator[Step]:
    """Yield one seed's training and measurements."""
    pairs = ("--pairs", str(root / "pairs" / "train" / "pairs.jsonl"))
    decisions = ("--decisions", str(root / "pairs" / "train" / "decisions.jsonl"), "--steps", "24")
    folder = root / f"seed-{seed}"
    plan = (
        ("warm-up", "warmup", "", pairs),
        ("ACT", "act", "warm-up", pairs),
        ("IL", "imitation", "warm-up", decisions),
        ("ACT→IL", "imitation", "ACT", decisions),
        ("choice", "sft_choice", "warm-up", pairs),
        ("choice→IL", "imitation", "choice", decisions),
        ("IL→IL", "imitation", "IL", decisions),
    )
    for row, stage, before, data in plan:
        model = str(folder / before / "checkpoint") if before else "smollm2"
        wanted = (
            "--recipe",
            str(RECIPES / f"{stage.replace('_', '-')}.yaml"),
            *data,
            "--model",
            model,
            "--seed",
            str(seed),
        )
        yield Step(f"Training {row}, seed {seed}", f"trainers.{stage}", folder / row, wanted)
        yield from measured(row, str(folder / row / "checkpoint"), folder, root)


def measured(row: str, model: str, folder: Path, root: Path) -> Iterator[Step]:
    """Yield the measurements of one model on both held-out sets together."""
    for name, module in (("pairs", "judge"), ("decisions", "next_action")):
        files = [str(root / "pairs" / split / f"{name}.jsonl") for split in ("seen", "unseen")]
        wanted = (f"--{name}", *files, "--model", model, "--label", row)
        yield Step(f"{module}, {row}", f"benchmarks.{module}", folder / "measured" / row / module, wanted)


def table(root: Path, seeds: int) -> str:
    """Return the table of measurements: per cent, mean ± population standard deviation over the seeds."""
    wanted = (("judge", "accuracy"), ("judge", "right_in_both"), ("next_action", "accuracy"))
    cells: dict[tuple[str, str, str], list[float]] = {}
    for row in ROWS:
        folders = [root / "base"] if row == "base" else [root / f"seed-{seed}" for seed in range(seeds)]
        for folder in folders:
            for module, name in wanted:
                summary = json.loads((folder / "measured" / row / module / "summary.json").read_text(encoding="utf-8"))
                for item in summary["measurements"]:
                    # "seen - unseen" is the gap between two splits.
                    if item["name"] == name and item["split"] and not item["task_type"] and " - " not in item["split"]:
                        cells.setdefault((row, f"{module} {name}", item["split"]), []).append(100 * item["value"])
    columns = list(dict.fromkeys((name, split) for _, name, split in cells))
    lines = ["| | " + " | ".join(f"{name}, {split}" for name, split in columns) + " |", "|---|" + "--:|" * len(columns)]
    for row in ROWS:
        shown = []
        for name, split in columns:
            values = cells.get((row, name, split), [])
            shown.append(
                ""
                if not values
                else f"{fmean(values):.1f} ± {pstdev(values):.1f}"
                if len(values) > 1
                else f"{values[0]:.1f}"
            )
        lines.append(f"| {row} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def added(root: Path, seeds: int) -> str:
    """Return the table of ACT→IL minus others, in points: the same states, a mean over seeds, then over each task."""
    lines = ["| ACT→IL less | | split | points | tasks |", "|---|---|---|--:|--:|"]
    for other, module in product(BESIDE, ("judge", "next_action")):
        tasks: dict[str, dict[str, list[float]]] = {}
        for seed, row in product(range(seeds), ("ACT→IL", other)):
            for record in read_records(root / f"seed-{seed}" / "measured" / row / module / "records.jsonl"):
                of_split = tasks.setdefault(record["split"], {})
                of_task = of_split.setdefault(record["id"].rpartition("#")[0], [])
                of_task.append((200 if row == "ACT→IL" else -200) * _right(record))
        for split, found in tasks.items():
            interval = bootstrap_mean([fmean(values) for values in found.values()], np.random.default_rng(0))
            shown = f"{interval.value:+.1f} [{interval.low:+.1f}, {interval.high:+.1f}]"
            lines.append(f"| {other} | {module} | {split} | {shown} | {len(found)} |")
    return "\n".join(lines) + "\n"


def _right(record: Mapping[str, Any]) -> float:
    """Return whether a next action is right, or how many of a judgement's two orders."""
    if "answers" not in record:
        return float(record["right"])
    return fmean(answer["outcome"] == "right" for answer in record["answers"])


def main(argv: Sequence[str]) -> int:
    """Run every step that has not been finished; return the exit status of the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", choices=sorted(TYPES), default="act/ALFWorld", help="whose tasks (%(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="how often everything is trained (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"), help="run folder (%(default)s)")
    arguments = parser.parse_args(argv)
    root: Path = arguments.out / arguments.env.rpartition("/")[2].lower()
    plan = [*collected(arguments.env, root), *measured("base", "smollm2", root / "base", root)]
    for seed in range(arguments.seeds):
        plan += trained(seed, root)
    status = run_steps(plan)
    if not status:
        text = f"{table(root, arguments.seeds)}\n{added(root, arguments.seeds)}"
        (root / "table.md").write_text(text, encoding="utf-8")
        sys.stdout.write(text)
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
