"""The main job in one go: train a small model on ScienceWorld with ACT, IL and RL, and measure it.

It also plays ALFWorld and WebShop, with games and a shop made on the spot where none were downloaded.

    ./scripts/quickstart [--out runs/quickstart]

A chain of the project's own programs, each with the arguments a person would type; what is printed
before each step can be typed to repeat it alone. Finished steps are not repeated: a run that was
stopped goes on when it is started again. It is small: a 135M model, a few task types, minutes of
training. The numbers it prints are what came out, with their intervals.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from act_gym.cli import run as run_program
from act_gym.cli import spelled
from act_gym.engines.alfworld.files import GAMES_FOLDER
from act_gym.engines.webshop.catalogue import shops_folder
from act_gym.paths import data_dir

# Short experiments, so that episodes end within minutes; the unseen types are held out of training.
SEEN = ("find-living-thing", "find-non-living-thing", "find-plant", "lifespan-longest-lived", "power-component")
UNSEEN = ("find-animal", "lifespan-shortest-lived")
RECIPES = Path(__file__).resolve().parent.parent / "trainers" / "recipes" / "quickstart"


@dataclass(frozen=True)
class Step:
    """One program with its arguments; its run folder is `out`."""

    title: str
    module: str
    out: Path
    arguments: tuple[str, ...]

    @property
    def argv(self) -> list[str]:
        """The command line after the program's name."""
        return [*self.arguments, "--out", str(self.out)]


def steps(root: Path) -> Iterator[Step]:
    """Yield the whole job in order; every stage continues from the checkpoint of the one before."""
    pairs, held_out = root / "pairs", root / "held-out" / "pairs"
    train = root / "collect"
    seen, unseen = root / "held-out" / "seen", root / "held-out" / "unseen"
    yield from others(root)
    yield collect("training", "train-seen", SEEN, 5, train)
    yield collect("seen", "seen", SEEN, 2, seen)
    yield collect("unseen", "unseen", UNSEEN, 5, unseen)
    yield propose("training", 96, pairs, train)
    yield propose("held-out", 48, held_out, seen, unseen)

    model = "smollm2"
    yield from measurements("base", model, root, held_out, episodes=True)
    for stage, label, source in (
        ("warmup", "after warm-up", ("--pairs", str(pairs / "pairs.jsonl"))),
        ("act", "after ACT", ("--pairs", str(pairs / "pairs.jsonl"))),
        ("imitation", "after IL", ("--decisions", str(pairs / "decisions.jsonl"))),
        ("rl", "after RL", ("--decisions", str(pairs / "decisions.jsonl"))),
    ):
        arguments = ("--recipe", str(RECIPES / f"{stage}.yaml"), *source, "--model", model)
        yield Step(f"Training: {stage}", f"trainers.{stage}", root / stage, arguments)
        model = str(root / stage / "checkpoint")
        yield from measurements(label, model, root, held_out, episodes=stage == "rl")


def others(root: Path) -> Iterator[Step]:
    """Yield the steps that play ALFWorld and WebShop: the official ones where they are downloaded, else our own."""
    downloaded = {"ALFWorld": data_dir() / GAMES_FOLDER, "WebShop": shops_folder() / "1000"}
    for agent in ("random", "expert"):
        for name, folder in downloaded.items():
            kind = "" if folder.is_dir() else "generated-"
            wanted = ("--env", f"act/{name}-{kind}seen", f"act/{name}-{kind}unseen", "--per-type", "5")
            out = root / "measured" / f"{name.lower()}-{agent}"
            yield Step(f"{name} episodes, {agent}", "benchmarks.evaluate", out, ("--agent", agent, *wanted))


def collect(kind: str, split: str, types: Sequence[str], per_type: int, out: Path) -> Step:
    """Return the step that plays the expert on some tasks of a split."""
    wanted = ("--env", f"act/ScienceWorld-{split}", "--task-types", *types, "--per-type", str(per_type))
    return Step(f"Expert episodes on {kind} tasks", "trainers.collect", out, wanted)


def propose(kind: str, states: int, out: Path, *episodes: Path) -> Step:
    """Return the step in which the initial model puts an alternative beside the expert's actions."""
    files = [str(folder / "episodes.jsonl") for folder in episodes]
    wanted = ("--recipe", str(RECIPES / "pairs.yaml"), "--episodes", *files, "--limit", str(states))
    return Step(f"Alternatives of the initial model on {kind} tasks", "trainers.pairs", out, wanted)


def measurements(label: str, model: str, root: Path, held_out: Path, *, episodes: bool) -> Iterator[Step]:
    """Yield the measurements of one model on tasks it was not trained on."""
    folder = root / "measured" / label.replace(" ", "-")
    asked = ("--model", model, "--label", label)
    yield Step(
        f"Judgement, {label}",
        "benchmarks.judgement",
        folder / "judgement",
        ("--pairs", str(held_out / "pairs.jsonl"), *asked),
    )
    yield Step(
        f"Next action, {label}",
        "benchmarks.next_action",
        folder / "next-action",
        ("--decisions", str(held_out / "decisions.jsonl"), *asked),
    )
    if episodes:
        yield Step(
            f"Episodes, {label}",
            "benchmarks.evaluate",
            folder / "episodes",
            (
                "--agent",
                "local",
                "--agent-options",
                "decode=ranked",
                f"model={model}",
                "window=1",
                "max_characters=500",
                "--label",
                label,
                "--env",
                "act/ScienceWorld-seen",
                "act/ScienceWorld-unseen",
                "--task-types",
                *SEEN,
                *UNSEEN,
                "--per-type",
                "2",
                "--max-turns",
                "10",
            ),
        )


def run_steps(plan: Sequence[Step]) -> int:
    """Run every step that has not been finished; returns the exit status of the first that fails."""
    started = time.monotonic()
    for number, step in enumerate(plan, start=1):
        marker = step.out / ".finished"
        if marker.exists():
            continue
        minutes = (time.monotonic() - started) / 60
        sys.stderr.write(f"\n[{number}/{len(plan)}] {step.title} ({minutes:.1f} min)\n")
        sys.stderr.write(f"  {shlex.join([*spelled(step.module), *step.argv])}\n")
        again = ["--resume"] if (step.out / "config.json").exists() else []
        status = run_program(import_module(step.module).main, [*step.argv, *again])
        if status:
            sys.stderr.write(f"Stopped at step {number}. The same command goes on from there.\n")
            return status
        marker.touch()
    return 0


def main(argv: Sequence[str]) -> int:
    """Run the job and write its report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/quickstart"), help="run folder (%(default)s)")
    root: Path = parser.parse_args(argv).out
    started = time.monotonic()
    if status := run_steps(list(steps(root))):
        return status
    page = [str(root / "measured"), "--out", str(root / "report.html"), "--title", "act-gym quickstart"]
    status = run_program(import_module("benchmarks.report").main, page)
    sys.stderr.write(f"\nDone in {(time.monotonic() - started) / 60:.1f} minutes.\n")
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
