"""Self-reflection: supervised training on monologues that end in the expert's action, mixed with expert data.

The model first writes a monologue for every state of `trainers.early_experience`: why the expert's action is better
than the alternatives (`rationales.py`). Then it is trained on two kinds of examples: with reasoning, the answer is
`<think>monologue</think><action>…</action>`; without, it is the expert's action alone.
Source: Early Experience (arXiv 2510.08558).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from act_gym.cli import run
from act_gym.config import Bound, Positive, parse
from act_gym.errors import RunError
from act_gym.io.jsonl import RecordWriter, read_records
from act_gym.io.run_dir import Run
from act_gym.progress import track
from act_gym.types import Transition
from agents.prompt_config import CONVERSATION
from agents.prompt_config import Question as Asking
from agents.prompts import format_reply
from trainers.data.questions import Question, acting_questions, read_experience
from trainers.data.rationales import KINDS, Scene, scenes, write_monologues
from trainers.dry_run.measured_steps import estimable
from trainers.run import checkpoints, distributed
from trainers.run.cleanup import discard_unstarted
from trainers.run.config import ExperienceInputs, SupervisedStageConfig
from trainers.run.logging import note
from trainers.run.stage import open_run, show
from trainers.sft.answers import train_on_answers

__all__ = ["SelfReflectionConfig", "lessons", "main", "train"]


@dataclass(frozen=True, kw_only=True)
class _Inputs(ExperienceInputs):
    """Settings of the monologues."""

    alternatives: Positive = 3
    """Most alternatives in the prompt of a monologue, with their outcomes."""

    writer: str = ""
    """The model that writes the monologues, if it is not the one that is trained."""

    temperature: Annotated[float, Bound(least=0)] = 0.7
    """Sampling temperature of the monologues."""

    max_new_tokens: Positive = 512
    """Longest monologue."""

    max_outcome_characters: Positive = 400
    """Each outcome in the prompt is cut to this length."""

    tries: Positive = 2
    """Attempts for each monologue until one can be kept."""

    mix_expert: bool = True
    """Whether every expert action is also learned without reasoning."""

    generation_batch: Positive = 16
    """Monologues that are written at once."""


@dataclass(frozen=True, kw_only=True)
class SelfReflectionConfig(SupervisedStageConfig, _Inputs):
    """Train a model on its own reasons for the expert's actions."""

    out: Path = Path("runs/self-reflection")
    """The run folder; `reflections.jsonl` holds the monologues and the outcome of every reply."""


@estimable
@discard_unstarted
def train(arguments: SelfReflectionConfig) -> dict[str, Any]:
    """Run the stage and return its summary.

    Raises:
        UsageError: The settings make no sense, or no question is short enough.
        RunError: No monologue can be used.
    """
    writer = [arguments.writer] if arguments.writer else []
    opened, summary = open_run("trainers.self_reflection", arguments, [arguments.experience], models=writer)
    if summary is not None:
        return summary
    experiences = read_experience(arguments.experience, arguments.limit)
    found, bare = scenes(experiences, alternatives=arguments.alternatives)
    if arguments.dry_run or arguments.measure_steps:  # no generation; texts of half the length count
        counts: dict[str, int] = {}
        monologues = {scene.step.id: " ".join(["because"] * (arguments.max_new_tokens // 2)) for scene in found}
    else:
        counts = distributed.by_first(lambda: _write(arguments, opened, found))
        monologues = _kept(opened)
    note(
        f"self-reflection: {len(monologues)} monologues; "
        + ", ".join(f"{counts.get(kind, 0)} × {kind}" for kind in KINDS[1:])
        + f"; {len(bare)} states with nothing worse to compare."
    )
    if not monologues:
        raise RunError(
            f"None of {len(found)} monologues can be used; {opened.path('reflections.jsonl')} has them all. Let a "
            "model write them that follows instructions better: --writer MODEL."
        )
    asking = arguments.asking(thinking=True)
    questions, answers = lessons(experiences, monologues, asking, mix_expert=arguments.mix_expert)
    told = {"monologues": len(monologues), "discarded": len(found) - len(monologues), "bare": len(bare)}
    return train_on_answers("self-reflection", arguments, opened, questions, answers, asking, extra=told)


def _kept(opened: Run) -> dict[str, str]:
    records = read_records(opened.path("reflections.jsonl"))
    return {record["id"]: record["monologue"] for record in records if record["kind"] == "kept"}


def lessons(
    experiences: Sequence[Transition], monologues: Mapping[str, str], asking: Asking = CONVERSATION, *, mix_expert: bool
) -> tuple[list[Question], list[str]]:
    """Pose the questions and give their answers: those with reasoning first.

    Args:
        experiences: The source of the states and the expert's actions.
        monologues: Reasoning by the step's id.
        asking: How a state is shown.
        mix_expert: Whether every step is also asked without reasoning.
    """
    steps = {record.step.id: record.step for record in experiences}
    told = [step for name, step in steps.items() if name in monologues]
    questions = acting_questions(told, replace(asking, thinking=True))
    answers = [format_reply(step.expert_action, monologues[step.id]) for step in told]
    if mix_expert:
        questions += acting_questions(steps.values(), replace(asking, thinking=False))
        answers += [format_reply(step.expert_action) for step in steps.values()]
    return questions, answers


def _write(arguments: SelfReflectionConfig, opened: Run, found: Sequence[Scene]) -> dict[str, int]:
    """Write the remaining monologues; return the number of replies by outcome."""
    log = opened.path("reflections.jsonl")
    done = {record["id"] for record in read_records(log)} if log.exists() else set()
    waiting = [scene for scene in found if scene.step.id not in done]
    with RecordWriter(log) as writer:
        for record in track(_written(arguments, waiting), "monologues", total=len(found), done=len(done)):
            writer.write(record)
    return dict(Counter(record["kind"] for record in read_records(log)))


def _written(arguments: SelfReflectionConfig, waiting: Sequence[Scene]) -> Any:
    if not waiting:
        return
    from agents.local.model import Policy

    # Precision as in evaluation, and not as in training: no weight is updated here.
    policy = Policy.load(str(checkpoints.find_model(arguments.writer or arguments.model)))
    for start in range(0, len(waiting), arguments.generation_batch):
        for monologue in write_monologues(
            policy,
            waiting[start : start + arguments.generation_batch],
            arguments.asking(),
            seed=arguments.seed,
            tries=arguments.tries,
            temperature=arguments.temperature,
            max_new_tokens=arguments.max_new_tokens,
            max_characters=arguments.max_outcome_characters,
        ):
            yield asdict(monologue)


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    arguments = parse(SelfReflectionConfig, argv, program="act-gym train self-reflection")
    show(train(arguments), arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(run(main, sys.argv[1:]))
