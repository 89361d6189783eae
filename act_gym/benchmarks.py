"""The registry of benchmarks: names, splits, engines, step limits, and their registration with Gymnasium.

Add a benchmark of your own with `register_benchmark`, or with an entry point of the group `act_gym.benchmarks` in the
metadata of its package, which `import act_gym` reads.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from inspect import signature
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import WrapperSpec

from act_gym.errors import UnknownNameError, UsageError, one_line, shortened
from act_gym.types import Task

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "at_level",
    "benchmark",
    "env_ids",
    "load_plugins",
    "parse_id",
    "register_benchmark",
    "register_envs",
    "tasks",
]


NAMESPACE = "act"


@dataclass(frozen=True)
class Benchmark:
    """Registry entry of one benchmark.

    Attributes:
        name: The name in environment ids.
        splits: Names of its splits; without one, an environment holds every task that is not generated.
        max_turns: The step limit registered by default.
        task_source: `module:function`; the function takes a split or None and returns its tasks.
        engines: Engine names with their `module:name`, a class or a function that makes one; the first one is the
            default.
        packages: Packages that the default engine imports; `extra` installs them.
        data: Folder below the cache folder that holds its data; empty if it needs none.
        generated_splits: Splits whose tasks are generated here, without that data.
        generator_package: Package that generation needs; `extra` installs it. Empty if none.
        own_task_source: `module:function`; the function takes the value of `games` and returns the tasks in these
            files. Empty if the benchmark cannot play user files.
        step_limits: Named limits of published results, in actions per episode: one number, or one for each task type.
            Task types that a table lacks keep `max_turns`.
        task_options: Names of engine options that also select the tasks; the task source takes them too.
        levels: Splits by how far they are from training: `L0` near, `L1` other rooms, variations or goals of the same
            types, `L2` types that are held out (RLVMR, arXiv 2507.22844).
        observe: Texts of the default engine that take no step; a rollout records them with each turn.
        success: Definition of success, for the manifests and suites of a benchmark that is not this project's own.
    """

    name: str
    splits: tuple[str, ...]
    max_turns: int
    task_source: str
    engines: Mapping[str, str]
    packages: tuple[str, ...] = ()
    data: str = ""
    generated_splits: tuple[str, ...] = ()
    generator_package: str = ""
    own_task_source: str = ""
    step_limits: Mapping[str, int | Mapping[str, int]] = field(default_factory=dict)
    task_options: tuple[str, ...] = ()
    levels: Mapping[str, str] = field(default_factory=dict)
    observe: tuple[str, ...] = ()
    success: str = "the simulator reports success within the step limit"

    @property
    def extra(self) -> str:
        """The extra that installs its simulator; also its name for `act-gym download`."""
        return self.name.lower()

    def tasks(self, split: str | None = None, **options: Any) -> Sequence[Task]:
        """Return a split's tasks, or all of them, in their frozen order.

        Args:
            split: One of its splits; None for every task that is not generated.
            **options: Values of `task_options` other than the engine's defaults.

        Raises:
            UnknownNameError: The split does not exist.
            UsageError: An option is not one of `task_options`.
        """
        if split is not None and split not in self.splits:
            raise UnknownNameError(f"split of {self.name}", split, self.splits)
        for name in options:
            if name not in self.task_options:
                known = f"only {', '.join(self.task_options)} do" if self.task_options else "none does"
                raise UsageError(
                    f"{name}={shortened(repr(options[name]))} does not choose tasks of {self.name}; {known}."
                )
        source: Callable[..., Sequence[Task]] = _load(self.task_source)
        return source(split, **options)

    def choosing(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the subset of an environment's options that selects its tasks."""
        return {name: options[name] for name in self.task_options if name in options}

    def own_tasks(self, games: Any, split: str | None = None) -> tuple[Task, ...]:
        """Return the tasks in a user's own game files.

        Args:
            games: For ALFWorld a file, a folder, or several of either.
            split: Must be None: these tasks belong to no split.

        Raises:
            UsageError: There are no games, or the benchmark does not support them.
        """
        if not self.own_task_source:
            raise UsageError(f"{self.name} takes no games of your own; got games={shortened(repr(games))}.")
        if split is not None:
            raise UsageError(
                f"games= are your own tasks and in no split; got split {split!r} too. "
                f"Make {NAMESPACE}/{self.name} with them."
            )
        source: Callable[[Any], tuple[Task, ...]] = _load(self.own_task_source)
        return source(games)

    def step_limit(self, name: str, task_type: str) -> int:
        """Return the step limit of a task type under a named limit, in actions.

        Raises:
            UnknownNameError: The limit does not exist.
        """
        if name not in self.step_limits:
            raise UnknownNameError(f"step limit of {self.name}", name, self.step_limits)
        limit = self.step_limits[name]
        return limit if isinstance(limit, int) else limit.get(task_type, self.max_turns)

    def make_engine(self, name: str | None = None, **options: Any) -> Any:
        """Start an engine by name, with the engine's own `options`.

        Raises:
            UnknownNameError: The engine does not exist.
            UsageError: The engine does not accept these options.
            MissingDependencyError: Its simulator is not installed.
        """
        name = name or next(iter(self.engines))
        if name not in self.engines:
            raise UnknownNameError(f"engine of {self.name}", name, self.engines)
        make = _load(self.engines[name])
        try:
            signature(make).bind(**options)
        except TypeError as cause:
            raise UsageError(
                f"The {name} engine of {self.name} does not take {shortened(options)}: {cause}."
            ) from cause
        return make(**options)


def _load(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)


# From the program of "Trial and Error" (ETO, arXiv 2403.02502), eval_agent/data/sciworld/max_steps.json. It leaves
# six task types out: the three inclined planes, both in genetics, and melting points of unknown substances.
_ETO_SCIENCEWORLD = {
    "boil": 100,
    "change-the-state-of-matter-of": 80,
    "chemistry-mix": 60,
    "chemistry-mix-paint-secondary-color": 15,
    "chemistry-mix-paint-tertiary-color": 30,
    "find-animal": 15,
    "find-living-thing": 15,
    "find-non-living-thing": 15,
    "find-plant": 15,
    "freeze": 80,
    "grow-fruit": 60,
    "grow-plant": 30,
    "identify-life-stages-1": 30,
    "identify-life-stages-2": 30,
    "lifespan-longest-lived": 10,
    "lifespan-longest-lived-then-shortest-lived": 12,
    "lifespan-shortest-lived": 10,
    "measure-melting-point-known-substance": 120,
    "melt": 80,
    "power-component": 20,
    "power-component-renewable-vs-nonrenewable-energy": 30,
    "test-conductivity": 30,
    "test-conductivity-of-unknown-substances": 30,
    "use-thermometer": 30,
}

BENCHMARKS: dict[str, Benchmark] = {
    entry.name: entry
    for entry in (
        Benchmark(
            name="ALFWorld",
            splits=(
                "train",
                "seen",
                "unseen",
                "train-seen-types",
                "unseen-types",
                "generated-train",
                "generated-seen",
                "generated-unseen",
            ),
            max_turns=50,
            task_source="act_gym.splits.alfworld:tasks",
            engines={
                "native": "act_gym.engines.alfworld:make_native",
                "textworld": "act_gym.engines.alfworld:make_textworld",
            },
            data="alfworld/json_2.1.1",
            generated_splits=("generated-train", "generated-seen", "generated-unseen"),
            generator_package="alfworld",
            own_task_source="act_gym.splits.alfworld:tasks_of_files",
            # verl-agent's, ETO's and RLVMR's settings; AgentBoard's is `max_num_steps` of its main results.
            step_limits={"verl-agent": 50, "eto": 40, "agentboard": 30, "rlvmr": 30},
            levels={"L0": "seen", "L1": "unseen", "L2": "unseen-types"},
        ),
        Benchmark(
            name="ScienceWorld",
            splits=("train", "dev", "test", "train-seen", "seen", "unseen"),
            max_turns=100,
            task_source="act_gym.splits.scienceworld:tasks",
            engines={"jvm": "act_gym.engines.scienceworld:JvmEngine"},
            packages=("scienceworld", "py4j"),
            # `scienceworld` and `swiftsage` are defaults of their programs, which count only actions that take time:
            # looking around, the inventory and unknown commands are free there. Here every action counts.
            step_limits={"scienceworld": 100, "swiftsage": 300, "agentboard": 30, "eto": _ETO_SCIENCEWORLD},
            levels={"L0": "train-seen", "L1": "seen", "L2": "unseen"},
            observe=("look", "inventory"),
        ),
        Benchmark(
            name="WebShop",
            splits=(
                "train",
                "dev",
                "test",
                "train-seen",
                "seen",
                "unseen",
                "generated-train",
                "generated-seen",
                "generated-unseen",
            ),
            max_turns=15,
            task_source="act_gym.splits.webshop:tasks",
            engines={"native": "act_gym.engines.webshop.engine:WebShopEngine"},
            data="webshop/1000",
            generated_splits=("generated-train", "generated-seen", "generated-unseen"),
            # verl-agent's and ETO's settings, and the paper's: actions of the agent in one episode.
            step_limits={"verl-agent": 15, "eto": 10, "webshop-paper": 100},
            levels={"L0": "train-seen", "L1": "seen", "L2": "unseen"},
            task_options=("catalogue", "human_goals"),
        ),
    )
}


def benchmark(name: str) -> Benchmark:
    """Return a benchmark by name.

    Raises:
        UnknownNameError: The benchmark does not exist.
    """
    if name not in BENCHMARKS:
        raise UnknownNameError("benchmark", name, BENCHMARKS)
    return BENCHMARKS[name]


def env_ids() -> tuple[str, ...]:
    """Return every environment id, grouped by benchmark, the one without a split first."""
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


def at_level(env_id: str) -> str:
    """Return the environment of a level, e.g. `act/ALFWorld-unseen-types` of `act/ALFWorld-L2`; others as they are."""
    name, _, level = env_id.removeprefix(f"{NAMESPACE}/").partition("-")
    entry = BENCHMARKS.get(name)
    return f"{NAMESPACE}/{name}-{entry.levels[level]}" if entry and level in entry.levels else env_id


def tasks(env_id: str, *, games: Any = None, **options: Any) -> Sequence[Task]:
    """Return the tasks of an environment id in their frozen order, without making the environment.

    Args:
        env_id: For example `act/ALFWorld-unseen`; without a split, every task of the benchmark.
        games: User game files; if given, their tasks are returned, in the order of their names.
        **options: Options of the environment that select its tasks, e.g. `human_goals=True` for WebShop.

    Raises:
        UnknownNameError: No environment has that id.
        UsageError: `games` is not supported there or has no game; or an option does not select tasks.
        MissingDataError: Listing these tasks needs benchmark data that is not downloaded.
    """
    entry, split = parse_id(env_id)
    return entry.tasks(split, **options) if games is None else entry.own_tasks(games, split)


_CHECK = WrapperSpec("check_time_limit", "act_gym.env:check_time_limit", {})
"""The last thing that `gym.make` does with an environment; it wraps nothing."""


def register_envs() -> None:
    """Register `act/<Benchmark>` and `act/<Benchmark>-<split>`; a second call changes nothing."""
    for env_id in env_ids():
        if env_id in gym.registry:
            continue
        entry, split = parse_id(env_id)
        gym.register(
            id=env_id,
            entry_point="act_gym.env:TextEnv",
            max_episode_steps=entry.max_turns,
            kwargs={"benchmark": entry.name, "split": split},
            additional_wrappers=(_CHECK,),
        )


def register_benchmark(entry: Benchmark) -> Benchmark:
    """Register a benchmark of your own, with Gymnasium too, and return it; a second call with the same changes nothing.

    Its environments are `act/<name>` and `act/<name>-<split>`; `act-gym eval --env`, `list`, `report` and the trainers
    then know it. Spawned processes know it if it is registered by an entry point or a module of `--import`.

    Raises:
        UsageError: Another benchmark has the name, or the name cannot be part of an environment id.
    """
    if not entry.name.isalnum() or any(not split.replace("-", "").isalnum() for split in entry.splits):
        raise UsageError(
            f"{entry.name!r} with the splits {entry.splits} cannot be registered. A name has letters and digits, e.g. "
            "Counting; a split may have hyphens too, e.g. train-seen."
        )
    if BENCHMARKS.setdefault(entry.name, entry) != entry:
        raise UsageError(f"There is another benchmark called {entry.name}. Register yours under another name.")
    register_envs()
    return entry


IMPORTS = "ACT_GYM_IMPORT"
"""Environment variable with modules that `import act_gym` imports, separated by commas; set by `--import`."""


def load_plugins() -> None:
    """Register the benchmarks of installed packages, and import the modules that `--import` named.

    A package names a `Benchmark`, or a function that returns one, under the entry-point group `act_gym.benchmarks`. A
    package that fails is a warning, so that the others stay usable.

    Raises:
        UsageError: A module of `--import` cannot be imported.
    """
    for point in entry_points(group="act_gym.benchmarks"):
        try:
            found = point.load()
            register_benchmark(found if isinstance(found, Benchmark) else found())
        except Exception as cause:
            warnings.warn(f"The benchmark {point.name} ({point.value}) is not available: {cause!r}", stacklevel=2)
    for name in filter(None, os.environ.get(IMPORTS, "").split(",")):
        try:
            import_module(name)
        except Exception as cause:
            raise UsageError(f"The module {name} of --import cannot be imported: {one_line(cause)}") from cause
