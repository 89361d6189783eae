"""Environment RL: policy gradients on whole episodes that the model plays (GRPO, RLOO, GiGPO, HGPO, branch).

    act-gym train rollout --model runs/imitation/checkpoint --algorithm gigpo --groups 16 --num-generations 8

A step plays `groups` tasks, `num_generations` episodes each, and trains on every token that was sampled in them.
docs/rollout.md has the formulas, the settings and the metrics.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from act_gym.cli import run as run_program
from act_gym.config import Share, check_bounds, parse, read_settings
from act_gym.engine import planning
from act_gym.errors import UsageError
from act_gym.io.run_dir import Run, named_files
from act_gym.sampling import select_from
from act_gym.types import Task
from agents.prompt_config import Question, other_prompts
from trainers.dry_run import estimate
from trainers.rollouts.settings import AlgorithmSettings, PlaySettings, UpdateSettings
from trainers.run import checkpoints, distributed, eval_panel, metrics, trackers
from trainers.run.cleanup import discard_unstarted
from trainers.run.config import FREE_SETTINGS, ModelSettings, OutputSettings
from trainers.run.logging import note, quiet
from trainers.run.stage import check_packages, show

if TYPE_CHECKING:
    from agents.local.model import Policy
    from trainers.rollouts.loop import Training

__all__ = ["Rollout", "check", "main", "train"]

_PROGRAM = "trainers.rollout"
_FREE = FREE_SETTINGS | {"max_tokens_per_pass"}
_LAST = ("loss", "reward", "success", "turns", "format_error_rate", "frac_reward_zero_std", "entropy", "kl")


@dataclass(frozen=True, kw_only=True)
class Rollout(OutputSettings, UpdateSettings, AlgorithmSettings, ModelSettings, PlaySettings):
    """Let the model play, and train it on its episodes with a policy gradient."""

    out: Path = Path("runs/rollout")
    """The run folder."""

    max_malformed: Share = 0.9
    """Stop before training if a larger share of sampled first replies holds no action: no episode would be solved."""

    def options(self) -> dict[str, Any]:
        """Return the environments' own settings."""
        return read_settings(self.env_options, "--env-options")

    def question(self) -> Question:
        """Return how the model is asked."""
        return Question(history="conversation", prompts=self.prompts, thinking=self.thinking)

    def reply_tokens(self, question: Question) -> int:
        """Return the longest reply."""
        return self.max_completion_tokens or question.reply.longest_reply[self.thinking]

    def games(self) -> list[tuple[str, Task]]:
        """Return the environments and tasks that are played."""
        splits = select_from(
            self.env, task_types=self.task_types, limit=self.limit, seed=self.seed, env_options=self.options()
        )
        return [(env_id, task) for env_id, tasks in splits.items() for task in tasks]


def check(arguments: Rollout) -> None:
    """Refuse settings that cannot work, before a model is loaded.

    Raises:
        MissingDependencyError: A package that trains is not installed.
        UsageError: The settings cannot work.
    """
    check_bounds(arguments)
    arguments.check_algorithm()
    check_packages()
    if arguments.measure_steps:
        raise UsageError("rollout measures no steps beforehand. Count with --dry-run, or run a short one: --steps 2.")
    trackers.check(arguments.report_to)
    if distributed.count() > 1:
        raise UsageError("rollout trains in one process. Start it without --launch.")
    if arguments.decode == "ranked" and arguments.thinking:
        raise UsageError("--decode ranked chooses commands and writes no reasoning. Leave --thinking out.")
    lowest, highest = arguments.success_range
    if lowest > highest:
        raise UsageError(f"--success-range is the lowest and the highest success; got {lowest} {highest}.")
    games = arguments.games()
    if len(games) < arguments.groups:
        raise UsageError(
            f"--groups {arguments.groups} tasks are played in a step, and there are {len(games)}. Lower --groups, "
            "raise --limit or name more --env or --task-types."
        )
    if arguments.shaping:
        for env_id in arguments.env:
            _check_plans(env_id, arguments.options())


def _check_plans(env_id: str, options: Mapping[str, Any]) -> None:
    """Refuse shaping where the engine has no planner.

    Raises:
        UsageError: The engine has no planner.
    """
    env = gym.make(env_id, **options)
    try:
        planning(env.unwrapped.engine)  # type: ignore[attr-defined]
    except UsageError as cause:
        raise UsageError(f"--shaping needs a planner, and {env_id} has none. Play ALFWorld or WebShop.") from cause
    finally:
        env.close()


@discard_unstarted
def train(arguments: Rollout) -> dict[str, Any]:
    """Run the stage and return its summary; its means are over the last quarter of the steps."""
    check(arguments)
    games = arguments.games()
    if arguments.dry_run:
        return _counted(arguments, games)
    summary = checkpoints.finished(arguments.out)
    if summary is not None:
        note(f"{arguments.out} is finished already.")
        return summary
    if not arguments.eval_env:
        arguments = replace(arguments, eval_env=eval_panel.usual_panel(games[0][1]))
    eval_panel.check(arguments, ())
    run = _open(arguments)
    quiet()
    training = _prepared(arguments, run, games)
    try:
        return _trained(training, run, arguments)
    finally:
        training.close()


def _open(arguments: Rollout) -> Run:
    """Open the run folder; its manifest records the prompt settings and the privileged information in use."""
    weights = sorted(checkpoints.find_model(arguments.model).glob("*.safetensors"))
    facts = {
        "launched": distributed.described(),
        "env_option_files": named_files(arguments.options()),
        "env_options": arguments.options(),
        "agent": {
            "asked_for": f"local:model={arguments.model},decode={arguments.decode}",
            "question": arguments.question().facts(),
        },
        "privileged": ["planner shaping"] if arguments.shaping else [],
    }
    run = Run(arguments.out, _PROGRAM, arguments, inputs=weights, facts=facts, resume=arguments.resume, free=_FREE)
    if arguments.resume:
        metrics.rewind(arguments.out, checkpoints.step_of(checkpoints.last_state(arguments.out)))
    return run


def _prepared(arguments: Rollout, run: Run, games: Sequence[tuple[str, Task]]) -> Training:
    """Prepare the training, at its beginning or at the state that it resumes from.

    Raises:
        RunError: The model writes no actions.
        UsageError: The model cannot be trained here, or episodes do not fit the limit of tokens.
    """
    from agents.local.constrained_decoding import takes_masks
    from trainers.rollouts import probes
    from trainers.rollouts.collect import Collector
    from trainers.rollouts.loop import Training
    from trainers.rollouts.records import Start

    policy = checkpoints.load(arguments.model, arguments.precision)
    if not takes_masks(policy):
        raise UsageError(
            f"{policy.name} ({type(policy.model).__name__}) attends in a way that takes no masks, so its episodes "
            "cannot be played in slots of one cache. Train it with act-gym train dagger or rl."
        )
    question = arguments.question()
    if differs := other_prompts(arguments.model, question):
        note(f"warning: {arguments.model} was trained with other prompts; they differ in {', '.join(differs)}.")
    training = Training(arguments, run, policy, question, games)
    if arguments.decode == "ranked" and not training.learner.packed:
        raise UsageError(f"--decode ranked trains branches of one row, which {policy.name} takes no layout for.")
    if arguments.probe and checkpoints.last_state(arguments.out) is None:
        lengths = _lengths(policy, question, arguments, games)
        probes.check_lengths(lengths, arguments.max_episode_tokens, policy.context)
        limits = replace(training.collector.limits, turns=1)
        collector = Collector(
            policy,
            question,
            limits,
            env_options=arguments.options(),
            parallel=arguments.probe,
            ranked=arguments.decode == "ranked",
        )
        starts = [Start(env_id=env_id, task=task, seed=arguments.seed) for env_id, task in games[: arguments.probe]]
        with training.acting():
            share = probes.check_format(collector.play(starts), arguments.max_malformed, arguments.model)
        collector.close()
        run.log(stage="rollout", event="format", asked=len(starts), format_error_rate=share)
    training.resume()
    return training


def _lengths(policy: Policy, question: Question, arguments: Rollout, games: Sequence[tuple[str, Task]]) -> list[int]:
    from trainers.rollouts.probes import conversation_lengths

    return conversation_lengths(
        policy,
        question,
        games,
        turns=arguments.max_turns,
        count=max(1, arguments.probe),
        seed=arguments.seed,
        env_options=arguments.options(),
    )


def _trained(training: Training, run: Run, arguments: Rollout) -> dict[str, Any]:
    """Train to the end or to a signal, and leave the checkpoint."""
    from trainers.run.schedule import fingerprint
    from trainers.run.stopping import StopCallback

    earlier = metrics.read_lines(arguments.out)
    before = fingerprint(training.model)
    run.log(stage="rollout", event="start", after=training.step)
    stop = StopCallback()
    started = time.perf_counter()
    with (
        stop.listening(),
        trackers.reporter(arguments.report_to, arguments.out, training.step) as training.report,
    ):
        for step in training.steps():
            if stop.signal and step < arguments.steps:
                training.save()
                break
    stop.finish(SimpleNamespace(global_step=training.step, max_steps=arguments.steps))
    summary: dict[str, Any] = {
        "stage": "rollout",
        "algorithm": arguments.algorithm,
        "steps": training.step,
        "seconds": round(time.perf_counter() - started + metrics.seconds_of(earlier), 1),
        "tasks": len(training.tasks.games),
    }
    lines = [line for line in metrics.read_lines(arguments.out) if "step" in line and "event" not in line]
    last = lines[-max(1, round(len(lines) / 4)) :]
    for name in _LAST:
        values = [line[name] for line in last if name in line]
        summary |= {name: round(sum(values) / len(values), 4)} if values else {}
    summary["env_errors"] = int(sum(line["env_errors"] for line in lines))
    summary |= eval_panel.summary_of(arguments.out)
    if fingerprint(training.model) == before and training.step:
        note("warning: no step changed the weights. Every advantage was zero, or every update was rounded away.")
    digest = checkpoints.save(
        training.model, training.policy.tokenizer, arguments.out / "checkpoint", notes=training.notes
    )
    run.log(event="done", **summary)
    checkpoints.mark_done(arguments.out, digest, summary)
    return summary


def _counted(arguments: Rollout, games: Sequence[tuple[str, Task]]) -> dict[str, Any]:
    """Count the work of the stage; episodes of a random agent give the tokens per episode."""
    policy = estimate.tokens_of(arguments.model)
    lengths = _lengths(policy, arguments.question(), arguments, games)
    episodes = arguments.groups * (
        arguments.num_generations
        + arguments.branch_points * arguments.continuations * (arguments.algorithm == "branch")
    )
    shape, reason = estimate.shape_or_reason(arguments.model)
    return {
        "stage": "rollout",
        "dry_run": True,
        "questions": len(games),
        "steps": arguments.steps,
        "a_step": f"{arguments.groups} tasks x {arguments.num_generations} episodes of {arguments.max_turns} turns",
        "episodes": episodes * arguments.steps,
        "tokens": round(episodes * arguments.steps * sum(lengths) / len(lengths)),
        "longest": max(lengths),
        "cut_by_tokens": round(sum(one > arguments.max_episode_tokens for one in lengths) / len(lengths), 4),
        **estimate.disk(shape, arguments),
        "how": f"counted{f', {reason}' if reason else ''}; {len(lengths)} random episodes of --max-turns; "
        "solved ones are shorter",
    }


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    arguments = parse(Rollout, argv, program="act-gym train rollout")
    show(train(arguments), arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_program(main, sys.argv[1:]))
