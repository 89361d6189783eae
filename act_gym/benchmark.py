"""The benchmarks: their names, splits, engines and step limits. A new benchmark is a new entry here.

This table names modules instead of importing them, so that reading it costs nothing and a missing
simulator is noticed only by whoever wants to play it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from typing import Any

from act_gym.core import Task
from act_gym.errors import UnknownNameError, UsageError

__all__ = ["BENCHMARKS", "Benchmark", "benchmark", "env_ids", "parse_id", "tasks"]

NAMESPACE = "act"


@dataclass(frozen=True)
class Benchmark:
    """One benchmark as the rest of the house knows it.

    Attributes:
        name: As it stands in environment ids.
        splits: Names of its splits; without one, an environment holds every task.
        max_turns: The step limit registered by default.
        task_source: `module:function`; the function takes a split or None and returns its tasks.
        engines: Engine names with their `module:Class`; the first one is the default.
        packages: What the default engine imports; `extra` installs them.
        data: Folder below the cache folder that holds its data; empty if it needs none.
    """

    name: str
    splits: tuple[str, ...]
    max_turns: int
    task_source: str
    engines: Mapping[str, str]
    packages: tuple[str, ...] = ()
    data: str = ""

    @property
    def extra(self) -> str:
        """The optional dependencies that install its simulator; also its name for `act-gym download`."""
        return self.name.lower()

    def tasks(self, split: str | None = None) -> tuple[Task, ...]:
        """Return a split's tasks, or all of them, in their frozen order."""
        if split is not None and split not in self.splits:
            raise UnknownNameError(f"split of {self.name}", split, self.splits)
        source: Callable[[str | None], tuple[Task, ...]] = _load(self.task_source)
        return source(split)

    def make_engine(self, name: str | None = None, **options: Any) -> Any:
        """Start an engine by name; `options` are the engine's own.

        Raises:
            UnknownNameError: There is no such engine.
            UsageError: The engine does not take these options.
            MissingDependencyError: Its simulator is not installed.
        """
        name = name or next(iter(self.engines))
        if name not in self.engines:
            raise UnknownNameError(f"engine of {self.name}", name, self.engines)
        engine_class = _load(self.engines[name])
        try:
            signature(engine_class).bind(**options)
        except TypeError as cause:
            raise UsageError(f"The {name} engine of {self.name} does not take {options}: {cause}.") from cause
        return engine_class(**options)


def _load(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)


BENCHMARKS: Mapping[str, Benchmark] = {
    entry.name: entry
    for entry in (
        Benchmark(
            name="ALFWorld",
            splits=("train", "seen", "unseen"),
            max_turns=50,
            task_source="act_gym.splits.alfworld:tasks",
            engines={"textworld": "act_gym.engines.alfworld.textworld:TextWorldEngine"},
            packages=("alfworld", "textworld"),
            data="alfworld/json_2.1.1",
        ),
        Benchmark(
            name="ScienceWorld",
            splits=("train", "dev", "test", "train-seen", "seen", "unseen"),
            max_turns=100,
            task_source="act_gym.splits.scienceworld:tasks",
            engines={"jvm": "act_gym.engines.scienceworld:JvmEngine"},
            packages=("scienceworld", "py4j"),
        ),
    )
}


def benchmark(name: str) -> Benchmark:
    """Return a benchmark by name.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name not in BENCHMARKS:
        raise UnknownNameError("benchmark", name, BENCHMARKS)
    return BENCHMARKS[name]


def env_ids() -> tuple[str, ...]:
    """Return every environment id, benchmark by benchmark, the one without a split first."""
    return tuple(
        f"{NAMESPACE}/{entry.name}{suffix}"
        for entry in BENCHMARKS.values()
        for suffix in ("", *(f"-{split}" for split in entry.splits))
    )


def parse_id(env_id: str) -> tuple[Benchmark, str | None]:
    """Return the benchmark and the split of an environment id such as `act/ScienceWorld-seen`.

    Raises:
        UnknownNameError: No environment has that id.
    """
    if env_id not in env_ids():
        raise UnknownNameError("environment", env_id, env_ids())
    name, _, split = env_id.removeprefix(f"{NAMESPACE}/").partition("-")
    return BENCHMARKS[name], split or None


def tasks(env_id: str) -> tuple[Task, ...]:
    """Return the tasks of an environment id in their frozen order, without making it.

    Args:
        env_id: For example `act/ALFWorld-unseen`; without a split, every task of the benchmark.

    Raises:
        UnknownNameError: No environment has that id.
    """
    entry, split = parse_id(env_id)
    return entry.tasks(split)
