"""Evaluation by play: a fixed panel of seen and unseen games, and the training's log of it, `evals.jsonl`.

One line of `evals.jsonl` is one environment at one optimizer step: `step`, `env_id`, `split`, `games`, `solved`,
`success` with Wilson's interval (`low`, `high`; none where an episode ended with an error), `score`, `turns` and
`seconds`. The best checkpoint is chosen by the success on all panels that are not of an unseen split, so that the
unseen games remain a test set.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from act_gym.benchmarks import BENCHMARKS, NAMESPACE, parse_id
from act_gym.config import read_settings
from act_gym.errors import MissingDataError, UsageError
from act_gym.intervals import wilson
from act_gym.io.jsonl import read_records, write_records
from act_gym.io.run_dir import Run
from act_gym.rollout import Job, play_jobs
from act_gym.sampling import select_from
from act_gym.types import Task
from agents.prompt_config import TRAINED_WITH, Question
from trainers.run import distributed
from trainers.run.config import EvalSettings
from trainers.run.logging import note

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = [
    "EVALS",
    "Panel",
    "best_of",
    "check",
    "panel_of",
    "read_evals",
    "record_evals",
    "summary_of",
    "usual_panel",
    "write_evals",
]

EVALS = "evals.jsonl"
_ERRORS = ("agent_error", "env_error")


@dataclass(frozen=True)
class Panel:
    """Panel of evaluation games, and the prompt and decoding settings of the model.

    Attributes:
        env_ids: The environments.
        games: Games of each.
        max_turns: Step limit; 0 for the benchmark's own.
        env_options: The environments' own settings.
        question: How the model is asked.
        decode: How it replies; see `agents.local.agent.LocalSettings`.
    """

    env_ids: tuple[str, ...]
    games: int
    max_turns: int = 0
    env_options: Mapping[str, Any] = field(default_factory=dict)
    question: Question = field(default_factory=Question)
    decode: str = "free"

    @property
    def labels(self) -> dict[str, str]:
        """Name of each environment in metrics: its split, with its benchmark where there are several."""
        named = [parse_id(env_id) for env_id in self.env_ids]
        several = len({entry.name for entry, _ in named}) > 1
        return {
            env_id: "-".join([entry.name] * several + [split or "all"])
            for env_id, (entry, split) in zip(self.env_ids, named, strict=True)
        }

    def tasks(self) -> dict[str, tuple[Task, ...]]:
        """Return the games of each environment, the same every time."""
        return select_from(self.env_ids, limit=self.games, env_options=self.env_options)

    def play(self, policy: Policy, step: int) -> list[dict[str, Any]]:
        """Play all games with a model, greedily, and return a line for each environment.

        Args:
            policy: The model.
            step: The optimizer step.
        """
        from agents.local.agent import LocalAgent, LocalSettings

        asked = {one.name: getattr(self.question, one.name) for one in fields(Question)}
        agent = LocalAgent(LocalSettings(**asked, decode=self.decode), policy=policy)
        options = {**self.env_options, **({"max_episode_steps": self.max_turns} if self.max_turns else {})}
        return [self._played(agent, env_id, tasks, step, options) for env_id, tasks in self.tasks().items()]

    def _played(
        self, agent: Any, env_id: str, tasks: Sequence[Task], step: int, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        jobs = [Job(env_id, task) for task in tasks]
        started = time.perf_counter()
        num_envs = max(1, min(len(jobs), agent.batch_size))
        episodes = list(play_jobs(jobs, agent, num_envs=num_envs, env_options=options, keep_commands=False))
        solved, errors = sum(one.success for one in episodes), sum(one.stop in _ERRORS for one in episodes)
        interval = wilson(solved, len(episodes))
        return {
            "step": step,
            "env_id": env_id,
            "split": self.labels[env_id],
            "games": len(episodes),
            "solved": solved,
            "errors": errors,
            "success": interval.value,
            "low": None if errors else interval.low,
            "high": None if errors else interval.high,
            "score": sum(one.score for one in episodes) / len(episodes),
            "turns": sum(len(one.turns) for one in episodes) / len(episodes),
            "seconds": round(time.perf_counter() - started, 1),
        }


def check(config: EvalSettings, inputs: Sequence[Path]) -> None:
    """Refuse evaluations that cannot be made, before the training.

    Raises:
        MissingDataError: The data of an environment is not on this machine.
        UsageError: There is no such environment, or the weights are sharded.
    """
    if not config.eval_every:
        if config.eval_first:
            raise UsageError("--eval-first needs --eval-every, which says how often the model plays.")
        return
    if distributed.shards_weights():
        raise UsageError(
            "--eval-every lets the first process play with the weights in its memory, and under ZeRO-3 no process "
            "holds them whole. Train with ZeRO-2 or DDP, or evaluate the checkpoint afterwards with act-gym eval."
        )
    env_ids = config.eval_env or _usual(inputs)
    if len(set(env_ids)) != len(env_ids):
        raise UsageError(f"--eval-env needs each environment only once; got {' '.join(env_ids)}.")
    options = read_settings(config.eval_env_options, "--eval-env-options")
    for env_id, tasks in select_from(env_ids, limit=1, env_options=options).items():
        with closing(gym.make(env_id, **options)) as env:
            env.reset(seed=0, options={"task_id": tasks[0].id})


def panel_of(config: EvalSettings, run_folder: Path, notes: Mapping[str, Any]) -> Panel:
    """Return the panel of a training.

    Args:
        config: The program's settings.
        run_folder: Its manifest names the data.
        notes: The checkpoint's record of the prompt settings in training.
    """
    written = notes.get(TRAINED_WITH, {})
    values = {one.name: written[one.name] for one in fields(Question) if one.name in written}
    inputs = json.loads((run_folder / "manifest.json").read_text(encoding="utf-8"))["inputs"]
    return Panel(
        env_ids=config.eval_env or _usual([Path(path) for path in inputs]),
        games=config.eval_games,
        max_turns=config.eval_max_turns,
        env_options=read_settings(config.eval_env_options, "--eval-env-options"),
        question=Question(**values),
    )


def read_evals(run_folder: Path) -> list[dict[str, Any]]:
    """Return the evaluations of a run folder, oldest first; none if there is no file."""
    path = run_folder / EVALS
    return list(read_records(path)) if path.exists() else []


def write_evals(run_folder: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Add the lines of one step atomically; lines of this step from before a kill are replaced."""
    kept = [line for line in read_evals(run_folder) if line["step"] != lines[0]["step"]]
    write_records(run_folder / EVALS, [*kept, *lines])


def record_evals(
    run: Run,
    stage: str,
    step: int,
    env_ids: Sequence[str],
    play: Callable[[], list[dict[str, Any]]],
    keep_best: Callable[[], None],
) -> dict[str, float]:
    """Evaluate a step that `evals.jsonl` does not hold yet, keep the best model, and log the result.

    Args:
        run: The run folder.
        stage: The stage's name in the log.
        step: The optimizer step.
        env_ids: The panel's environments.
        play: Plays the panel and returns its lines.
        keep_best: Saves the model; called where this step is the best so far.

    Returns:
        `<split>/success`, `<split>/score` and `<split>/turns`.
    """
    known = read_evals(run.folder)
    lines = [line for line in known if line["step"] == step]
    if {line["env_id"] for line in lines} != set(env_ids):
        lines = play()
        best = best_of([*(line for line in known if line["step"] != step), *lines])
        if best is not None and best[0] == step:
            keep_best()
        # Last, so that a kill before it repeats the evaluation.
        write_evals(run.folder, lines)
        note(f"step {step}: {', '.join(map(_told, lines))}")
    values = {f"{line['split']}/{name}": line[name] for line in lines for name in ("success", "score", "turns")}
    run.log(stage=stage, event="eval", step=step, **{f"eval/{name}": value for name, value in values.items()})
    return values


def _told(line: Mapping[str, Any]) -> str:
    errors = f", {line['errors']} ended with an error" if line["errors"] else ""
    return f"{line['split']} {line['solved']} of {line['games']} solved in {line['seconds']:.0f} s{errors}"


def best_of(lines: Sequence[Mapping[str, Any]]) -> tuple[int, float] | None:
    """Return the step with the most success on the panels that are not of an unseen split; of equal ones the last.

    None where all panels are of unseen splits, or there is no evaluation.
    """
    by_step: dict[int, list[float]] = {}
    for line in lines:
        if not line["split"].endswith("unseen"):
            by_step.setdefault(line["step"], []).append(line["success"])
    means = {step: sum(values) / len(values) for step, values in by_step.items()}
    return max(means.items(), key=lambda item: (item[1], item[0])) if means else None


def summary_of(run_folder: Path) -> dict[str, Any]:
    """Return the entries on the best checkpoint in a stage's summary; none without evaluations."""
    best = best_of(read_evals(run_folder))
    return {"best_step": best[0], "best_success": round(best[1], 4)} if best else {}


def _usual(inputs: Sequence[Path]) -> tuple[str, ...]:
    """Return the seen and unseen splits that belong to a training's data.

    Raises:
        UsageError: The data does not name its benchmark.
    """
    task = next((found for path in inputs if path.suffix == ".jsonl" and (found := _first_task(path))), None)
    if task is None or task.benchmark not in BENCHMARKS:
        raise UsageError("The data does not say of which benchmark it is. Give --eval-env, e.g. act/ALFWorld-seen.")
    return usual_panel(task)


def usual_panel(task: Task) -> tuple[str, ...]:
    """Return the seen and unseen splits of a task's benchmark, of generated games if the official ones are missing."""
    entry = BENCHMARKS[task.benchmark]
    official = [f"{NAMESPACE}/{entry.name}-{side}" for side in ("seen", "unseen")]
    generated = [f"{NAMESPACE}/{entry.name}-generated-{side}" for side in ("seen", "unseen")]
    if entry.generated_splits and (task.split.startswith("generated-") or not _is_here(official[0])):
        return tuple(generated)
    return tuple(official)


def _first_task(path: Path) -> Task | None:
    record = next(iter(read_records(path)), {})
    holders = [record, *(value for value in record.values() if isinstance(value, dict))]
    return next((Task.from_json(holder["task"]) for holder in holders if isinstance(holder.get("task"), dict)), None)


def _is_here(env_id: str) -> bool:
    try:
        tasks = select_from([env_id], limit=1)[env_id]
        with closing(gym.make(env_id)) as env:
            env.reset(seed=0, options={"task_id": tasks[0].id})
    except MissingDataError:
        return False
    return True
