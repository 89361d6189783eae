"""How often the intervals and tests of an evaluation are right, by simulation: `python -m benchmarks.checks.coverage`.

Tasks are drawn at random with chances of success of their own (a beta distribution), and each is played with some
seeds. Of many such experiments it counts in how many an interval holds the truth, which should be 95 of 100, and how
wide it is on average. It prints a Markdown table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from act_gym.config import parse
from act_gym.errors import UsageError
from benchmarks.stats.intervals import Interval, bootstrap_difference, bootstrap_mean, clustered, newcombe, wilson
from benchmarks.stats.significance import agreeing, fisher, mcnemar, paired_permutation, permutation

__all__ = ["CoverageConfig", "Row", "main", "rows"]

_SETTINGS = ((24, 1), (24, 3), (134, 1), (134, 3))  # tasks, seeds
_CHANCES = ((0.1, 1.9), (0.5, 0.5), (6.0, 0.4))  # of success, drawn from a beta distribution with these
_RESAMPLES = 1_000


@dataclass(frozen=True)
class CoverageConfig:
    """Count how often intervals hold the truth."""

    experiments: int = 1_000
    """How many for each row; 1,000 tell 95 % from 93 %."""
    seed: int = 0
    """Seed of the simulation."""


@dataclass(frozen=True)
class Row:
    """One kind of experiment: how often each of the two intervals holds the truth, and their mean widths."""

    what: str
    tasks: int
    seeds: int
    truth: float
    held: tuple[float, float]
    width: tuple[float, float]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(
        CoverageConfig, sys.argv[1:] if argv is None else argv, program="python -m benchmarks.checks.coverage"
    )
    if arguments.experiments < 1:
        raise UsageError(f"--experiments is at least 1; got {arguments.experiments}.")
    sys.stdout.write(
        "| what | tasks | seeds | truth | ours holds it | width | bootstrap holds it | width |\n"
        "|---|--:|--:|--:|--:|--:|--:|--:|\n"
    )
    for row in rows(arguments.experiments, np.random.default_rng(arguments.seed)):
        cells = [f"{100 * held:.1f} % | {100 * width:.1f}" for held, width in zip(row.held, row.width, strict=True)]
        sys.stdout.write(f"| {row.what} | {row.tasks} | {row.seeds} | {100 * row.truth:.1f} | {' | '.join(cells)} |\n")
        sys.stdout.flush()
    return 0


def rows(experiments: int, generator: np.random.Generator) -> Iterator[Row]:
    """Yield the results of every kind of experiment."""
    for tasks, seeds in _SETTINGS:
        for alpha, beta in _CHANCES:
            yield _row("success", tasks, seeds, alpha / (alpha + beta), experiments, _mean(alpha, beta), generator)
    for tasks, seeds in _SETTINGS:
        yield _row("gap", tasks, seeds, 0.1, experiments, _gap, generator)
    for tasks, seeds in _SETTINGS:
        yield _row("two agents", tasks, seeds, 0.1, experiments, _pair, generator)


Experiment = Callable[[int, int, np.random.Generator], tuple[Interval, Interval]]


def _row(
    what: str,
    tasks: int,
    seeds: int,
    truth: float,
    experiments: int,
    experiment: Experiment,
    generator: np.random.Generator,
) -> Row:
    found = [experiment(tasks, seeds, generator) for _ in range(experiments)]
    held = [float(np.mean([pair[side].low <= truth <= pair[side].high for pair in found])) for side in (0, 1)]
    width = [float(np.mean([pair[side].high - pair[side].low for pair in found])) for side in (0, 1)]
    return Row(what, tasks, seeds, truth, (held[0], held[1]), (width[0], width[1]))


def _mean(alpha: float, beta: float) -> Experiment:
    def experiment(tasks: int, seeds: int, generator: np.random.Generator) -> tuple[Interval, Interval]:
        values = _play(generator.beta(alpha, beta, size=tasks), seeds, generator)
        return _ours(values, seeds), bootstrap_mean(values, generator, resamples=_RESAMPLES)

    return experiment


def _gap(tasks: int, seeds: int, generator: np.random.Generator) -> tuple[Interval, Interval]:
    """Other tasks on either side: 60 % of the seen and 50 % of the unseen are solved."""
    seen = _play(generator.beta(0.9, 0.6, size=tasks), seeds, generator)
    unseen = _play(generator.beta(0.75, 0.75, size=tasks), seeds, generator)
    tested = permutation(seen, unseen, permutations=_RESAMPLES)
    exact = fisher((round(sum(seen)), tasks), (round(sum(unseen)), tasks)) if seeds == 1 else tested.p_value
    ours = agreeing(newcombe(_ours(seen, seeds), _ours(unseen, seeds)), exact, tested)
    return ours, bootstrap_difference(seen, unseen, generator, resamples=_RESAMPLES)


def _pair(tasks: int, seeds: int, generator: np.random.Generator) -> tuple[Interval, Interval]:
    """The same tasks: the first agent is better by ten points on each."""
    chances = 0.9 * generator.beta(0.5, 0.5, size=tasks)
    one, other = _play(chances + 0.1, seeds, generator), _play(chances, seeds, generator)
    pairs = np.array([one, other])
    varied = (pairs.min(axis=1) < pairs.max(axis=1)).all()
    ours = newcombe(_ours(one, seeds), _ours(other, seeds), float(np.corrcoef(pairs)[0, 1]) if varied else 0.0)
    differences = pairs[0] - pairs[1]
    tested = paired_permutation(differences.tolist(), permutations=_RESAMPLES)
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    ours = agreeing(ours, mcnemar(better, worse) if seeds == 1 else tested.p_value, tested)
    return ours, bootstrap_mean((pairs[0] - pairs[1]).tolist(), generator, resamples=_RESAMPLES)


def _play(chances: np.ndarray, seeds: int, generator: np.random.Generator) -> list[float]:
    values: list[float] = (generator.binomial(seeds, chances) / seeds).tolist()
    return values


def _ours(values: Sequence[float], seeds: int) -> Interval:
    return wilson(round(sum(values)), len(values)) if seeds == 1 else clustered(values)


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
