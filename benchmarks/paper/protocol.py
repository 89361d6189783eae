"""Protocol of a row: the jobs that make its data, train its model and measure it.

The same data, the same epochs and the same evaluation for every row; only the stages differ. Knows which
environments a benchmark is trained and tested on, and nothing of how jobs are carried out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

from act_gym.benchmarks import parse_id
from act_gym.config import from_recipes
from benchmarks.evaluate import EvalConfig
from benchmarks.paper.jobs import Job, JobStore
from benchmarks.paper.rows import RECIPES, Column, Row, Version
from benchmarks.suites import suite
from trainers.pipeline import PipelineConfig, plan
from trainers.rollouts.settings import PlaySettings
from trainers.run.config import GroupSettings, PromptSettings
from trainers.self_reflection import SelfReflectionConfig
from trainers.warmup import WarmupConfig

__all__ = ["BENCHMARKS", "GENERATED", "Benchmark", "Cell", "Protocol", "Setting", "initial_model"]

Benchmark = Literal["alfworld", "webshop", "scienceworld"]

_NOWHERE = Path("nowhere")  # plan() names every stage's folder below one; the jobs' own folders take its place
_LONG = 1024  # tokens of a reply that reasons, as in Early Experience (arXiv 2510.08558)
_JUDGED_TASKS = 50  # of each test environment: their experts' states are more than are judged


@dataclass(frozen=True)
class Setting:
    """Where a benchmark is trained and tested.

    Attributes:
        training: The environment whose experts are learned from.
        tests: The suites it is tested on, by the side they stand for.
    """

    training: str
    tests: Mapping[str, str]

    def env(self, side: str) -> str:
        """Return the environment of a side's tasks."""
        return suite(self.tests[side]).env_id

    def split(self, side: str) -> str:
        """Return the split of a side's tasks."""
        return parse_id(self.env(side))[1] or ""


BENCHMARKS: Mapping[str, Setting] = {
    "alfworld": Setting("act/ALFWorld-train", {"seen": "alfworld-seen-140", "unseen": "alfworld-unseen-134"}),
    "webshop": Setting("act/WebShop-train", {"test": "webshop-test-500"}),
    "scienceworld": Setting("act/ScienceWorld-train", {"test": "scienceworld-test"}),
}
_ALFWORLD = {"seen": "alfworld-generated-seen", "unseen": "alfworld-generated-unseen"}
GENERATED: Mapping[str, Setting] = {
    "alfworld": Setting("act/ALFWorld-generated-train", _ALFWORLD),
    "webshop": Setting("act/WebShop-generated-train", {"test": "webshop-generated-seen"}),
    "scienceworld": BENCHMARKS["scienceworld"],
}


@dataclass(frozen=True)
class Trained:
    """A row's model.

    Attributes:
        model: Its folder, or the name of the untouched one.
        thinking: Whether it is asked to reason when it acts.
        pipeline: How it was trained; also how states are shown to it.
    """

    model: str
    thinking: bool
    pipeline: PipelineConfig


@dataclass(frozen=True)
class Cell:
    """One number of the table: which row, column and seed, and the job whose summary holds it."""

    row: Row
    column: Column
    seed: int
    job: Job


@dataclass(frozen=True)
class Protocol:
    """How rows become jobs.

    Attributes:
        version: Which table.
        model: The initial model: a name that `agents.local.default_model` knows, or a folder.
        layers: Recipes of trainers.pipeline that are laid over every row's own.
        reused: Folders with `pairs.jsonl` and `decisions.jsonl`, by benchmark, that are taken as data.
        generated: Whether games and shops are made on the spot.
        warmup: Whether every row begins with the warm-up on the answer format.
        limit: Everything is cut to so many, for a smoke test; 0 for all.
        eval_limit: Tasks of each environment that are played at most; 0 for all.
        max_turns: The step limit of an episode; 0 for the suite's.
        judge: Pairs that are judged at most.
        next_action: States that are asked about at most.
        decode: How the model acts; see `agents.local.agent`.
        temperature: Of the model when it acts freely.
    """

    version: Version
    model: str
    layers: tuple[Path, ...] = ()
    reused: Mapping[str, Path] | None = None
    generated: bool = False
    warmup: bool = False
    limit: int = 0
    eval_limit: int = 0
    max_turns: int = 0
    judge: int = 400
    next_action: int = 10_000
    decode: Literal["free", "ranked"] = "free"
    temperature: float = 0.4

    def cells(self, workshop: JobStore, row: Row, columns: Sequence[Column], seed: int) -> Iterator[Cell]:
        """Yield what fills a row's cells with one seed."""
        trained: dict[str, Trained] = {}
        for column in columns:
            if column.benchmark not in trained:
                trained[column.benchmark] = self._trained(workshop, row, column.benchmark, seed)
            yield Cell(row, column, seed, self._measured(workshop, trained[column.benchmark], column, seed))

    def setting(self, benchmark: str) -> Setting:
        """Return where a benchmark is trained and tested."""
        return (GENERATED if self.generated else BENCHMARKS)[benchmark]

    def _trained(self, workshop: JobStore, row: Row, benchmark: str, seed: int) -> Trained:
        pipeline = self._pipeline(row, benchmark, seed)
        thinking = row.prompted and "thinking=true" in _prompting(row, self.version)
        model = self.model
        moved: dict[Path, Path] = {}
        if pipeline.stages:
            data = (self.reused or {}).get(benchmark) or self._data(workshop, pipeline).folder
            for name, stage, settings in plan(replace(pipeline, data=data)):
                job = workshop.job(stage, type(settings).__module__, _moved(settings, moved))
                moved[pipeline.out / name] = job.folder
                model = str(job.folder / "checkpoint")
                # Reflections are reasoning that the model learns to write; other supervised stages have none.
                thinking = thinking if row.prompted else _reasons(settings)
        return Trained(model, thinking, pipeline)

    def _pipeline(self, row: Row, benchmark: str, seed: int) -> PipelineConfig:
        """Read a row's recipe with all that is laid over it; only the row says which stages there are."""
        own = RECIPES / "settings" / f"{self.version}.yaml" if row.prompted else row.recipe(self.version)
        stages = () if row.prompted else from_recipes(PipelineConfig, [own]).stages
        read = from_recipes(PipelineConfig, [own, RECIPES / "data" / f"{benchmark}.yaml", *self.layers])
        if self.limit:  # a smoke test continues where there is nothing to learn
            read = replace(read, act=replace(read.act, force=True), rl=replace(read.rl, force=True))
        return replace(
            read,
            stages=("warmup", *stages) if self.warmup and "warmup" not in stages else stages,
            model=self.model,
            seed=seed,
            limit=self.limit or read.limit,
            collect=replace(read.collect, env=(self.setting(benchmark).training,)),
            out=_NOWHERE,
        )

    def _data(self, workshop: JobStore, pipeline: PipelineConfig) -> Job:
        """Return the job that makes the training data: the same for every row and seed."""
        (_, _, collect), (_, _, pairs) = plan(replace(pipeline, stages=("collect", "pairs"), seed=0))
        played = workshop.job("collect", "trainers.collect", collect)
        return workshop.job("pairs", "trainers.pairs", _moved(pairs, {_NOWHERE / "collect": played.folder}))

    def _held_out(self, workshop: JobStore, pipeline: PipelineConfig, column: Column) -> Job:
        """Return the job that makes pairs in the test environments: the same for every row and seed."""
        judged = column.kind == "judge"
        wanted = self.limit or (self.judge if judged else self.next_action)
        setting = self.setting(column.benchmark)
        tests = tuple(setting.env(side) for side in setting.tests)
        tasks = min(wanted, _JUDGED_TASKS) if judged else self.limit
        collect = replace(pipeline.collect, env=tests, task_types=(), per_type=0, limit=tasks, seed=0)
        played = workshop.job("collect", "trainers.collect", collect)
        pairs = replace(
            pipeline.pairs,
            episodes=(played.folder / "episodes.jsonl",),
            model=self.model,
            seed=0,
            per_state=1,
            count=0,
            limit=wanted,
            proposer=pipeline.pairs.proposer if judged else "random",  # the next action needs the states alone
        )
        return workshop.job("held-out", "trainers.pairs", pairs)

    def _measured(self, workshop: JobStore, trained: Trained, column: Column, seed: int) -> Job:
        if column.kind == "episodes":
            settings = self._playing(trained, self.setting(column.benchmark), seed)
            return workshop.job("eval", "benchmarks.evaluate", settings)
        folder = self._held_out(workshop, trained.pipeline, column).folder
        files = {"judge": ("pairs", "pairs.jsonl"), "next_action": ("decisions", "decisions.jsonl")}
        option, file = files[column.kind]
        thinking = trained.thinking and self.decode == "free"
        settings = {
            option: (folder / file,),
            "model": trained.model,
            "decode": self.decode,
            "thinking": thinking,
            "max_new_tokens": _LONG if thinking else 64,
            "temperature": self.temperature if self.decode == "free" else 0.0,
            "seed": seed,
            **_shown(trained.pipeline),
        }
        return workshop.job(column.kind, f"benchmarks.{column.kind}", settings)

    def _playing(self, trained: Trained, setting: Setting, seed: int) -> dict[str, Any]:
        options: dict[str, Any] = {"decode": self.decode, **_shown(trained.pipeline)}
        if self.decode == "free":
            thinking = {"thinking": "true", "max_new_tokens": _LONG} if trained.thinking else {}
            options |= {"temperature": self.temperature, **thinking}
        limit = self.limit or self.eval_limit
        cut, suites = limit or self.max_turns, tuple(setting.tests.values())
        # All sides in one run, so that its summary has the gap between them. A part of a suite is no suite.
        envs = tuple(setting.env(side) for side in setting.tests)
        return {
            "agent": "local",
            "model": trained.model,
            "agent_options": tuple(f"{name}={value}" for name, value in options.items()),
            **({"env": envs, "limit": limit, "max_turns": self.max_turns} if cut else {"suite": suites}),
            "seeds": (seed,),
        }


def _shown(pipeline: PipelineConfig) -> dict[str, Any]:
    """Return how every row is asked: as the proposer is, whose settings those of the other stages should equal."""
    names = {field.name for field in fields(PromptSettings)} - {"max_prompt_tokens"}  # of trainings alone
    return {name: getattr(pipeline.pairs, name) for name in sorted(names)}


def _prompting(row: Row, version: Version) -> tuple[str, ...]:
    """Return the agent's settings in the recipe of a row that only asks."""
    return from_recipes(EvalConfig, [row.recipe(version)]).agent_options


def _moved(value: Any, folders: Mapping[Path, Path]) -> Any:
    """Return settings as plain containers in which paths below some folders are below others."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _moved(getattr(value, field.name), folders) for field in fields(value)}
    if isinstance(value, (list, tuple)):
        return tuple(_moved(inner, folders) for inner in value)
    if isinstance(value, (Path, str)):
        for old, new in folders.items():
            if Path(value).is_relative_to(old):
                return type(value)(new / Path(value).relative_to(old))
    return value


def initial_model(layers: Sequence[Path]) -> str:
    """Return the model that some recipes name; the pipeline's own if none does."""
    return from_recipes(PipelineConfig, layers).model


def _reasons(config: Any) -> bool:
    """Return whether a stage leaves a model that reasons before it answers."""
    if isinstance(config, GroupSettings | WarmupConfig | PlaySettings):
        return config.thinking
    return isinstance(config, SelfReflectionConfig)
