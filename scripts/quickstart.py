"""Quickstart: trains a small model to solve household tasks with ACT, imitation and DAgger, and evaluates it.

    ./scripts/quickstart             train and measure; two cores are used
    ./scripts/quickstart --eval      measure agents without a model on all three benchmarks, in a few minutes
    ./scripts/quickstart --play      watch an expert play games of all three benchmarks

SmolLM2-135M learns one of ALFWorld's six types of task, to look at an object in the light of a lamp, in the official
games where they are downloaded and else in games that are made on the spot. Two ways of training run at once, a core
each: imitation and two rounds of DAgger, from the initial model, and the same from a model that ACT has taught to judge
actions. The last table has the solved games before and after, in rooms that were trained in (seen) and in others
(unseen), with 95 % intervals.

Every step is a command of the project, which is printed and can be repeated alone. A run that was stopped continues
with the same command. The output of a step is in `<its folder>.log`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
import webbrowser
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from act_gym.cli import run as run_program
from act_gym.engines.alfworld.files import GAMES_FOLDER
from act_gym.engines.webshop.catalogue import shops_folder
from act_gym.errors import RunError
from act_gym.io.jsonl import read_records
from act_gym.paths import data_dir
from benchmarks.reporting.tables import in_words
from benchmarks.stats.measurement import Summary

TYPES = ("look_at_obj_in_light",)  # of six; its episodes are the shortest
_FINISHED = (0, 3)  # 3: some episodes ended with an error, which the report counts
LABELS = {"base": "before training", "il": "imitation + DAgger", "act-il": "ACT + imitation + DAgger"}


@dataclass(frozen=True)
class Step:
    """One command and its run folder.

    Attributes:
        title: The step's name in the progress line.
        minutes: As measured on two cores of an Intel Xeon with AMX, the other lane at work.
        out: The run folder.
        words: The command after `act-gym`, without `--out`.
    """

    title: str
    minutes: float
    out: Path
    words: tuple[str, ...]

    @property
    def command(self) -> list[str]:
        """Command line after `act-gym`."""
        return [*self.words, "--out", str(self.out)]

    @property
    def marker(self) -> Path:
        """File that marks the step as finished."""
        return self.out / ".finished"


def training(root: Path) -> list[list[list[Step]]]:
    """Return the phases of the job. The lanes of a phase run at once, the steps of a lane one after the other."""
    env = f"act/ALFWorld{_made('ALFWorld', data_dir() / GAMES_FOLDER)}"
    episodes, games = root / "collect" / "episodes.jsonl", ("--env", f"{env}-train", "--task-types", *TYPES)
    collect = Step(
        "expert episodes with detours and mistakes",
        0.2,
        root / "collect",
        (
            *("train", "collect", *games, "--agent", "search", "--detours", "0.1", "--mistakes", "0.1"),
            *("--limit", "120", "--max-turns", "50"),
        ),
    )
    base = evaluate("base", "smollm2", root, env, minutes=5.0, games=2)
    pairs = Step(
        "pairs of expert's and model's actions",
        2.7,
        root / "pairs",
        ("train", "pairs", "--episodes", str(episodes), "--limit", "64"),
    )
    act = Step(
        "ACT: learn to judge them",
        4.1,
        root / "act",
        (
            *("train", "act", "--pairs", str(root / "pairs" / "pairs.jsonl"), "--order", "both", "--steps", "6"),
            *("--groups", "2", "--num-generations", "4", "--max-completion-tokens", "24"),
            *("--learning-rate", "2e-5", "--probe-groups", "0"),
        ),
    )
    lanes = [
        list(arm(name, model, root, env, episodes))
        for name, model in (("act-il", str(act.out / "checkpoint")), ("il", "smollm2"))
    ]
    return [[[collect]], [[pairs, act], [base]], lanes]


def arm(name: str, model: str, root: Path, env: str, episodes: Path) -> tuple[Step, ...]:
    """Return the steps of one way of training: imitation, two rounds of DAgger, the games it solves."""
    folder, label = root / name, LABELS[name]
    common = ("--batch", "2", "--schedule", "cosine", "--save-every", "40", "--episodes", str(episodes))
    imitate = Step(
        f"{label}: imitate whole episodes",
        9.7,
        folder / "imitation",
        ("train", "imitation", "--model", model, *common, "--learning-rate", "2e-4"),
    )
    dagger = Step(
        f"{label}: play, and learn from own mistakes",
        12.9,
        folder / "dagger",
        (
            # At 2e-4 the first round unlearns what imitation has taught.
            *("train", "dagger", "--model", str(imitate.out / "checkpoint"), *common, "--learning-rate", "3e-5"),
            *("--env", f"{env}-train", "--task-types", *TYPES, "--max-turns", "20", "--new-only"),
            *("--games", "30", "--rounds", "2", "--betas", "0.3", "0.0"),
        ),
    )
    return imitate, dagger, evaluate(name, str(dagger.out / "checkpoint"), root, env, minutes=3.5, games=18)


def evaluate(name: str, model: str, root: Path, env: str, *, minutes: float, games: int) -> Step:
    """Return the step that plays games other than the training games: as many of each split."""
    return Step(
        f"{LABELS[name]}: play seen and unseen games",
        minutes,
        root / "measured" / name,
        (
            *("eval", "--env", f"{env}-seen", f"{env}-unseen", "--task-types", *TYPES, "--limit", str(games)),
            # The longest command has 19 tokens; a model that does not end its reply is cut there.
            *("--agent", f"local:model={model},history=conversation,max_new_tokens=24", "--label", LABELS[name]),
        ),
    )


def measuring(root: Path, *, play: bool = False) -> list[list[list[Step]]]:
    """Return the steps that measure agents without a model on all three benchmarks; with `play`, one game of each."""
    kinds = {"ALFWorld": data_dir() / GAMES_FOLDER, "WebShop": shops_folder() / "1000", "ScienceWorld": None}
    lanes, folder_name = [], "played" if play else "measured"
    for name, folder in kinds.items():
        env = f"act/{name}{_made(name, folder) if folder else ''}"
        wanted = ("--env", f"{env}-seen", *(("--limit", "1") if play else (f"{env}-unseen", "--per-type", "1")))
        lanes.append(
            [
                Step(f"{name}, {agent}", 0.5, root / folder_name / f"{name.lower()}-{agent}", _playing(agent, wanted))
                for agent in ("random", "expert", *(("search",) if name == "ALFWorld" else ()))
            ]
        )
    return [lanes]


def _playing(agent: str, wanted: Sequence[str]) -> tuple[str, ...]:
    return ("eval", "--agent", agent, *wanted)


def _made(name: str, folder: Path) -> str:
    """Return what the environments' ids have after the benchmark's name: nothing if its data is downloaded."""
    if folder.is_dir():
        return ""
    sys.stderr.write(f"{name}'s data is not downloaded, so tasks are made on the spot.\n")
    return "-generated"


class Progress:
    """Progress log: one line when a step begins and ends, with the elapsed time."""

    def __init__(self, phases: Sequence[Sequence[Sequence[Step]]]) -> None:
        self._steps = [step for lanes in phases for lane in lanes for step in lane]
        self._started = time.monotonic()
        minutes = sum(max(sum(_open(step) for step in lane) for lane in lanes) for lanes in phases)
        sys.stderr.write(f"{len(self._steps)} steps, roughly {minutes:.0f} minutes on two free cores.\n")

    def say(self, step: Step, words: str) -> None:
        """Write a line about a step."""
        minutes = (time.monotonic() - self._started) / 60
        number = self._steps.index(step) + 1
        sys.stderr.write(f"[{number:>2}/{len(self._steps)}] {minutes:5.1f} min  {step.title}: {words}\n")
        sys.stderr.flush()


def _open(step: Step) -> float:
    return 0.0 if step.marker.exists() else step.minutes


def run_phases(phases: Sequence[Sequence[Sequence[Step]]]) -> int:
    """Run every step that is not finished; return the exit status of one that failed, else 0."""
    progress = Progress(phases)
    at_once = os.cpu_count() or 1
    for lanes in phases:
        with ThreadPoolExecutor(max_workers=min(len(lanes), at_once)) as pool:
            statuses = list(pool.map(lambda lane: _run_lane(lane, progress), lanes))
        if any(statuses):
            return next(status for status in statuses if status)
    return 0


def _run_lane(lane: Sequence[Step], progress: Progress) -> int:
    for step in lane:
        if step.marker.exists():
            progress.say(step, "finished before")
            continue
        progress.say(step, f"act-gym {shlex.join(step.command)}")
        started = time.monotonic()
        again = ["--resume"] if (step.out / "config.json").exists() else []
        step.out.parent.mkdir(parents=True, exist_ok=True)
        log = step.out.with_name(f"{step.out.name}.log")
        with log.open("a") as written:
            status = subprocess.run(
                [sys.executable, "-m", "act_gym", *step.command, *again],
                stdout=written,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                # One thread a lane: threads of two lanes would wait for each other.
                env={"OMP_NUM_THREADS": "1", **os.environ},
                check=False,
            ).returncode
        if status not in _FINISHED:
            end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            progress.say(step, f"failed. {log} ends with:\n{end}\nThe same command continues from here.")
            return status
        step.marker.touch()
        progress.say(step, f"done in {(time.monotonic() - started) / 60:.1f} min")
    return 0


def solved(root: Path) -> str:
    """Return the table of solved games, one row a model.

    Raises:
        RunError: An evaluation is missing.
    """
    lines = [f"{'solved games, % [95 % interval]':<32}{'seen':>28}{'unseen':>28}"]
    for name, label in LABELS.items():
        summary = Summary.read(root / "measured" / name)
        cells = []
        for split in ("seen", "unseen"):
            found = [
                one
                for one in summary.measurements
                if one.name == "success" and one.split.removeprefix("generated-") == split and not one.task_type
            ]
            if not found:
                raise RunError(f"{root / 'measured' / name} has no success for {split}.")
            cells.append(f"{in_words(found[0])} of {found[0].n}")
        lines.append(f"{label:<32}{cells[0]:>28}{cells[1]:>28}")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str]) -> int:
    """Run the job and write its report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/quickstart"), help="run folder (%(default)s)")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--play", action="store_true", help="watch an agent play")
    kind.add_argument("--eval", action="store_true", help="measure agents without a model")
    arguments = parser.parse_args(argv)
    root: Path = arguments.out
    phases = measuring(root, play=arguments.play) if arguments.play or arguments.eval else training(root)
    if arguments.play:
        phases = [[[lane[-1]] for lane in lanes] for lanes in phases]
    if status := run_phases(phases):
        return status
    if arguments.play:
        return _show([lane[-1].out for lanes in phases for lane in lanes])
    if not arguments.eval:
        sys.stdout.write(f"\n{solved(root)}\n")
    return _report(root, "act-gym quickstart")


def _show(folders: Sequence[Path]) -> int:
    """Print the episode of each run turn by turn."""
    for folder in folders:
        (record,) = read_records(folder / "records.jsonl")
        if status := run_program(import_module("benchmarks.show").main, [str(folder), "--task", record["task_id"]]):
            return status
    return 0


def _report(root: Path, title: str) -> int:
    """Write the report of all measurements, and open it where there is a screen."""
    page = root / "report.html"
    words = [str(root / "measured"), "--out", str(page), "--title", title]
    status = run_program(import_module("benchmarks.report").main, words)
    if not status and sys.stdout.isatty():
        webbrowser.open(page.resolve().as_uri())
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
