"""Pipeline of stages, each from the checkpoint of the stage before.

    act-gym train pipeline --stages warmup act imitation rl --data runs/pairs --out runs/act-il-rl

Every row of the paper is one line of a recipe: `stages: [act, imitation, rl]`, `[imitation, imitation]`,
`[dpo, imitation, rl]`, `[early-experience, self-reflection]`, `[early-experience, world-model, imitation]`. With
`whole_episodes`, imitation, dagger and rft learn the episodes of `collect`: `[collect, pairs, act, imitation, dagger]`.
`rollout` plays and needs no data: `[imitation, rollout]`, `[act, imitation, rollout]`. Each stage is the
program of that name with a run folder of its own inside `out` (a stage that comes twice gets `rl` and
`rl-2`). With `--resume` finished stages are recognised by their `done.json`, and one that was killed goes
on from its last saved state.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from act_gym.cli import run
from act_gym.config import NotNegative, Seed, check_bounds, parse
from act_gym.errors import RunError, UsageError
from act_gym.io.jsonl import write_json
from act_gym.io.run_dir import FREE_ARGUMENTS, Run
from trainers import (
    act,
    collect,
    dagger,
    dpo,
    early_experience,
    imitation,
    pairs,
    rft,
    rl,
    rollout,
    self_reflection,
    sft_choice,
    warmup,
    world_model,
)
from trainers.dry_run.estimate import COLUMNS, outlook, total
from trainers.grpo import trainer as grpo
from trainers.run import checkpoints, distributed
from trainers.run.cleanup import discard_unstarted
from trainers.run.config import FREE_SETTINGS
from trainers.run.logging import note
from trainers.run.stage import check_inputs, check_packages, micro_batches, table

__all__ = ["PROGRAMS", "PipelineConfig", "Stage", "check", "main", "plan", "train"]

Stage = Literal[
    "collect",
    "pairs",
    "early-experience",
    "warmup",
    "sft-choice",
    "dpo",
    "act",
    "imitation",
    "dagger",
    "rft",
    "self-reflection",
    "world-model",
    "rl",
    "rollout",
]

PROGRAMS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "warmup": warmup.train,
    "sft-choice": sft_choice.train,
    "dpo": dpo.train,
    "act": act.train,
    "imitation": imitation.train,
    "dagger": dagger.train,
    "rft": rft.train,
    "self-reflection": self_reflection.train,
    "world-model": world_model.train,
    "rl": rl.train,
    "rollout": rollout.train,
}
"""The program of each stage that trains."""

_MAKING: tuple[Stage, ...] = ("collect", "pairs", "early-experience")  # they make data and do not train


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """Run stages one after the other, each from the checkpoint of the stage before."""

    stages: tuple[Stage, ...] = ("warmup", "act", "imitation", "rl")
    """Stages to run, in order; a stage may come twice."""

    data: Path = Path("runs/pairs")
    """A run folder of trainers.pairs, for pipelines that do not begin with collect and pairs."""

    model: str = "smollm2"
    """The model before the first stage; it also proposes the alternatives of `pairs`."""

    seed: Seed = 0
    """The seed of every stage."""

    limit: NotNegative = 0
    """The limit of every stage: 4 makes a smoke test; 0 leaves each stage its own."""

    collect: collect.CollectConfig = field(default_factory=collect.CollectConfig)
    """Settings of the stage collect. Inputs, model, seed, out and resume are set by the pipeline."""

    pairs: pairs.PairsConfig = field(default_factory=pairs.PairsConfig)
    """Settings of the stage pairs."""

    early_experience: early_experience.EarlyExperienceConfig = field(
        default_factory=early_experience.EarlyExperienceConfig
    )
    """Settings of the stage early-experience, which asks the model as it is when its turn comes."""

    warmup: warmup.WarmupConfig = field(default_factory=warmup.WarmupConfig)
    """Settings of the stage warmup."""

    sft_choice: sft_choice.SFTChoiceConfig = field(default_factory=sft_choice.SFTChoiceConfig)
    """Settings of the stage sft-choice."""

    dpo: dpo.DPOStageConfig = field(default_factory=dpo.DPOStageConfig)
    """Settings of the stage dpo."""

    act: act.ActConfig = field(default_factory=act.ActConfig)
    """Settings of the stage act."""

    imitation: imitation.ImitationConfig = field(default_factory=imitation.ImitationConfig)
    """Settings of the stage imitation."""

    dagger: dagger.DaggerConfig = field(default_factory=dagger.DaggerConfig)
    """Settings of the stage dagger, which learns the episodes of collect and those that it plays."""

    rft: rft.RFTConfig = field(default_factory=rft.RFTConfig)
    """Settings of the stage rft, which learns the episodes of collect and its own successful ones."""

    whole_episodes: bool = False
    """Whether imitation learns the episodes of collect, one sequence an episode, instead of the states of `pairs`."""

    self_reflection: self_reflection.SelfReflectionConfig = field(default_factory=self_reflection.SelfReflectionConfig)
    """Settings of the stage self-reflection; without a stage early-experience it names the file to learn from."""

    world_model: world_model.WorldModelConfig = field(default_factory=world_model.WorldModelConfig)
    """Settings of the stage world-model; without a stage early-experience it names the file to learn from."""

    rl: rl.RLConfig = field(default_factory=rl.RLConfig)
    """Settings of the stage rl."""

    rollout: rollout.Rollout = field(default_factory=rollout.Rollout)
    """Settings of the stage rollout, which plays and reads no file."""

    out: Path = Path("runs/pipeline")
    """The folder of the pipeline; every stage has one inside."""

    resume: bool = False
    """Continue the run in the folder."""

    dry_run: bool = False
    """Count the work of every stage and its cost; leave no files."""

    measure_steps: bool = False
    """Run three real steps of every stage whose data exists, discard them, and print the cost of the whole training."""


def plan(arguments: PipelineConfig) -> Iterator[tuple[str, Stage, Any]]:
    """Yield every stage's folder name, its kind, and its arguments with inputs and model filled in.

    Raises:
        UsageError: There is no stage; `collect` and `pairs` do not come first and in order; or `early-experience`
            comes twice or after a stage that learns from it.
    """
    making = [stage for stage in arguments.stages if stage in ("collect", "pairs")]
    of_episodes = {"dagger", "rft", "rollout", *(["imitation"] if arguments.whole_episodes else [])}
    without_pairs = [] if set(arguments.stages) - {"collect", *of_episodes} else ["collect"]
    if not arguments.stages or tuple(making) != arguments.stages[: len(making)] or making not in (
        [], ["pairs"], ["collect", "pairs"], without_pairs
    ):  # fmt: skip
        raise UsageError(
            f"Cannot run the stages {' '.join(arguments.stages) or '(none)'}: collect and pairs come once, in this "
            "order, before the training stages; only whole episodes are learnt without pairs."
        )
    _check_experience(arguments.stages)
    data = arguments.out / "pairs" if "pairs" in making else arguments.data
    model = arguments.model
    for number, stage in enumerate(arguments.stages):
        times = arguments.stages[: number + 1].count(stage)
        name = stage if times == 1 else f"{stage}-{times}"
        settings = replace(
            _settings_of(arguments, stage),
            out=arguments.out / name,
            seed=arguments.seed,
            **_inputs(stage, arguments, data),
        )
        if arguments.limit:
            settings = replace(settings, limit=arguments.limit)
            if stage == "rollout":  # a step of a smoke test has fewer tasks
                settings = replace(settings, groups=min(settings.groups, arguments.limit))
        if stage not in ("collect",):
            settings = replace(settings, model=model)
        if stage not in _MAKING:
            model = str(arguments.out / name / "checkpoint")
        # A folder that is there was begun by this pipeline, which has checked its own settings.
        yield name, stage, replace(settings, resume=(arguments.out / name / "config.json").exists())


def _field_of(stage: str) -> str:
    """Return the field of a stage's settings: its name with underscores."""
    return stage.replace("-", "_")


def _settings_of(arguments: PipelineConfig, stage: Stage) -> Any:
    return vars(arguments)[_field_of(stage)]


def _check_experience(stages: Sequence[Stage]) -> None:
    made = [number for number, stage in enumerate(stages) if stage == "early-experience"]
    used = [number for number, stage in enumerate(stages) if stage in ("self-reflection", "world-model")]
    if len(made) > 1 or (made and used and used[0] < made[0]):
        raise UsageError(
            f"Cannot run the stages {' '.join(stages)}: early-experience comes once, before self-reflection and "
            "world-model, which learn from it."
        )


def _inputs(stage: Stage, arguments: PipelineConfig, data: Path) -> dict[str, Any]:
    collected = (arguments.out / "collect" / "episodes.jsonl",)
    if stage in ("collect", "rollout"):
        return {}
    if stage == "pairs":
        own = arguments.pairs.episodes or arguments.pairs.reuse
        return {} if own and "collect" not in arguments.stages else {"episodes": collected}
    if stage == "early-experience":
        files: dict[str, Any] = {"decisions": data / "decisions.jsonl", "pairs": data / "pairs.jsonl"}
        return {**files, "env_options": arguments.collect.env_options} if "collect" in arguments.stages else files
    if stage in ("self-reflection", "world-model"):
        file = arguments.out / "early-experience" / "experience.jsonl"
        return {"experience": file} if "early-experience" in arguments.stages else {}
    if stage in ("warmup", "sft-choice", "dpo", "act"):
        return {"pairs": data / "pairs.jsonl"}
    if stage in ("dagger", "rft") or (stage == "imitation" and arguments.whole_episodes):
        own = _settings_of(arguments, stage).episodes
        return {} if own and "collect" not in arguments.stages else {"episodes": collected}
    return {"decisions": data / "decisions.jsonl"}


def check(arguments: PipelineConfig, stages: Sequence[tuple[str, Stage, Any]]) -> None:
    """Check settings, inputs and models of all stages, before the first one runs and a model is converted.

    Args:
        arguments: The pipeline's settings.
        stages: See `plan`.

    Raises:
        MissingDataError: A model is not there.
        RunError: An input cannot be read or is empty.
        UsageError: The settings of a stage make no sense.
    """
    made = {settings.out for _, stage, settings in stages if stage in _MAKING}
    for name, stage, settings in stages:
        try:
            check_bounds(settings)
            _check_settings(stage, settings)
            check_inputs(path for path in _files(stage, settings) if path.parent not in made)
        except UsageError as error:
            raise UsageError(f"Stage {name}: {error}") from error
        except RunError as error:
            raise RunError(f"Stage {name}: {error}") from error
    training = [settings for _, stage, settings in stages if stage not in _MAKING]
    if training:
        check_packages()
        checkpoints.find_model(arguments.model)
    for settings in training:
        if isinstance(settings, self_reflection.SelfReflectionConfig) and settings.writer:
            checkpoints.find_model(settings.writer)


def _check_settings(stage: Stage, settings: Any) -> None:
    if stage in ("act", "rl"):
        grpo.check(settings)
        # A smoke test may have fewer questions than a step; how many is not known yet.
        if not 0 < settings.limit < settings.groups:
            micro_batches(settings.groups * settings.num_generations, settings.micro_batch)
    elif stage == "dpo":
        dpo.check(settings)
    elif stage == "pairs":
        pairs.check(settings)
    elif stage == "dagger":
        dagger.check(settings)
    elif stage == "rft":
        rft.check(settings)
    elif stage == "rollout":
        rollout.check(settings)


def _files(stage: Stage, settings: Any) -> list[Path]:
    """Return the files of records that a stage reads."""
    if stage in ("collect", "rollout"):
        return []
    if stage == "pairs":
        return [*settings.episodes, *([settings.reuse] if settings.reuse else [])]
    if stage == "early-experience":
        judged = [settings.pairs] if settings.proposer == "pairs" else []
        return [settings.decisions, *judged]
    return list(settings.data_files())


@discard_unstarted
def train(arguments: PipelineConfig) -> Sequence[Mapping[str, Any]]:
    """Run the stages that are not finished; return the summaries of all training stages."""
    stages = list(plan(arguments))
    if arguments.dry_run and arguments.measure_steps:
        raise UsageError("--dry-run runs no step and --measure-steps runs some. Choose one of them.")
    if arguments.dry_run or arguments.measure_steps:
        return outlook(stages, PROGRAMS, arguments.model, arguments.pairs.count, measure=arguments.measure_steps)
    distributed.by_first(lambda: check(arguments, stages))
    # Each stage defines which of its settings may change.
    free = {f"{_field_of(stage)}.{name}" for stage in PROGRAMS for name in (*FREE_ARGUMENTS, *FREE_SETTINGS)}
    distributed.by_first(lambda: Run(arguments.out, "trainers.pipeline", arguments, free=free, resume=arguments.resume))
    summaries: list[Mapping[str, Any]] = []
    for number, (name, stage, settings) in enumerate(stages, start=1):
        note(f"[{number}/{len(stages)}] {name}: {settings.out}")
        if stage in _MAKING:
            distributed.by_first(partial(_make, stage, settings))
        else:
            summary = PROGRAMS[stage](settings)
            summaries.append({**summary, "stage": name, "checkpoint": str(settings.out / "checkpoint")})
            if distributed.is_first():
                write_json(arguments.out / "summary.json", summaries)
    return summaries


def _make(stage: Stage, settings: Any) -> None:
    if stage == "collect":
        collect.play(settings)
    elif stage == "pairs":
        pairs.propose(settings)
    else:
        early_experience.carry_out(settings)


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    arguments = parse(PipelineConfig, argv, program="act-gym train pipeline")
    columns = (
        "stage",
        "steps",
        "seconds",
        "loss",
        "reward",
        "accuracy",
        "format_error_rate",
        "frac_reward_zero_std",
        "checkpoint",
    )
    summaries = train(arguments)
    if distributed.is_first():
        estimated = arguments.dry_run or arguments.measure_steps
        sys.stdout.write(table(summaries, COLUMNS if estimated else columns))
        sys.stdout.write(total(summaries) if estimated else "")
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main, sys.argv[1:]))
