"""Self-reflection: supervised training on monologues that end in the expert's action, mixed with expert data.

The model first writes a monologue for every state of `trainers.early_experience`: why the expert's action is better
than the alternatives. The prompt shows the state, the alternatives that were executed and the outcome of each, and the
action to take; the wording is ours. A monologue is kept if it does not end in another action, and reads as if thought
in the state: it may not mention an expert or number an action. Then the model is trained on two kinds of examples:
with reasoning, the answer is `<think>monologue</think><action>…</action>`; without, it is the expert's action alone.
Source: Early Experience (arXiv 2510.08558).

"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zlib import crc32

import numpy as np

from act_gym.cli import run
from act_gym.config import Bound, Positive, parse
from act_gym.errors import RunError
from act_gym.io.jsonl import RecordWriter, read_records
from act_gym.io.run_dir import Run
from act_gym.progress import track
from act_gym.types import ExpertStep, Transition
from agents.prompt_config import CONVERSATION, view_of
from agents.prompt_config import Question as Asking
from agents.prompts import Message, format_reply, normalise, read_reply, split_thought
from trainers.data.proposers import RANDOM
from trainers.data.questions import Question, acting_questions, read_experience
from trainers.dry_run.measured_steps import estimable
from trainers.run import checkpoints, distributed
from trainers.run.cleanup import discard_unstarted
from trainers.run.config import ExperienceInputs, SupervisedStageConfig
from trainers.run.logging import note
from trainers.run.stage import open_run, show
from trainers.sft.answers import train_on_answers

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = [
    "KINDS",
    "Kind",
    "Monologue",
    "Scene",
    "SelfReflectionConfig",
    "ask",
    "lessons",
    "main",
    "read_monologue",
    "scenes",
    "train",
    "write_monologues",
]


Kind = Literal["kept", "cut off", "another action", "empty", "forbidden words"]
"""The kind of a reply: usable; longer than allowed; with another action than the expert's or several; without a
word of reasoning; or speaking of an expert or of numbered actions."""

KINDS: tuple[Kind, ...] = ("kept", "cut off", "another action", "empty", "forbidden words")

_FORBIDDEN = re.compile(r"\bexpert|\bactions?\s*(?:#|no\.?\s*|number\s*)?\d", re.IGNORECASE)

_TASK = """Several actions were tried from here. What each of them led to:
{outcomes}

The right action now is: {action}

Write down what you think before you take it, in the first person and in a few sentences: what the task still needs, \
and why this action serves it better than the others do, judging by what they led to. Write as if you had only \
imagined what the others would lead to. Do not number the actions, and do not mention that anybody told you the right \
one. End with {reply}"""


@dataclass(frozen=True)
class Scene:
    """An expert's state with the actions tried in it.

    Attributes:
        step: The state and the expert's action.
        outcomes: Actions with the observations that followed; the expert's is the first.
    """

    step: ExpertStep
    outcomes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Monologue:
    """A model's monologue for a scene.

    Attributes:
        id: The step's id.
        kind: The kind of its last reply.
        monologue: The reasoning; empty unless it was kept.
        asked: How often the model was asked.
        reply: Its last reply, as it was.
    """

    id: str
    kind: Kind
    monologue: str
    asked: int
    reply: str


def scenes(experiences: Iterable[Transition], *, alternatives: int = 3) -> tuple[list[Scene], list[str]]:
    """Collect the actions tried in each state.

    The policy's proposals come before random actions. An alternative that leads to the same state as the
    expert's action is left out: there is no reason to prefer one of them.

    Args:
        experiences: Records of `trainers.early_experience`, those of one state one after the other.
        alternatives: How many are shown at most.

    Returns:
        The scenes, and the ids of states in which nothing worse was tried.
    """
    by_state: dict[str, list[Transition]] = {}
    for record in experiences:
        by_state.setdefault(record.step.id, []).append(record)
    found, bare = [], []
    for name, records in by_state.items():
        expert = [record for record in records if record.is_expert]
        others = [record for record in records if not record.is_expert and not record.same_as_expert]
        others.sort(key=lambda record: record.source == RANDOM)
        if not expert or not others[:alternatives]:
            bare.append(name)
            continue
        shown = [*expert[:1], *others[:alternatives]]
        outcomes = tuple((record.action, record.next_observation) for record in shown)
        found.append(Scene(expert[0].step, outcomes))
    return found, bare


def ask(scene: Scene, asking: Asking = CONVERSATION, *, seed: int = 0, max_characters: int = 400) -> list[Message]:
    """Ask for the monologue.

    Args:
        scene: The state, and the actions tried in it.
        asking: How the state is shown.
        seed: Of the order in which the actions are shown, which also depends on the step.
        max_characters: Each outcome is cut to this length.
    """
    random = np.random.default_rng([seed, crc32(scene.step.id.encode())])
    lines = []
    for index in random.permutation(len(scene.outcomes)).tolist():
        action, seen = scene.outcomes[index]
        shown = " ".join(seen.split())
        lines.append(f"- {action}: {shown if len(shown) <= max_characters else shown[:max_characters] + ' …'}")
    action = scene.step.expert_action
    question = _TASK.format(outcomes="\n".join(lines), action=action, reply=format_reply(action))
    return asking.about(view_of(scene.step), question)


def read_monologue(reply: str, expert_action: str, *, cut_off: bool = False) -> tuple[Kind, str]:
    """Classify a reply, and return the reasoning in it if it is kept.

    Args:
        reply: The model's text. Without any action in it, all of it is reasoning.
        expert_action: The action it should end in.
        cut_off: Whether the reply came to its longest length.
    """
    if "<action>" in reply:
        action = read_reply(reply).action
        if action is None or normalise(action) != normalise(expert_action):
            return ("cut off" if cut_off and action is None else "another action"), ""
    elif cut_off:
        return "cut off", ""
    thought, spoken = split_thought(reply)
    words = " ".join(f"{thought} {spoken.partition('<action>')[0]}".split())
    if not words:
        return "empty", ""
    if _FORBIDDEN.search(words):
        return "forbidden words", ""
    return "kept", words


def write_monologues(
    policy: Policy,
    asked: Sequence[Scene],
    asking: Asking,
    *,
    seed: int,
    tries: int,
    temperature: float,
    max_new_tokens: int,
    max_characters: int,
) -> list[Monologue]:
    """Let a model write one monologue for each scene, independent of the other scenes.

    Args:
        policy: The model. Templates that have a switch for reasoning have it off: the reply is the reasoning.
        asked: The scenes.
        asking: How a state is shown.
        seed: Of every draw.
        tries: How often it is asked again after a reply that cannot be kept.
        temperature: Of sampling.
        max_new_tokens: Longest reply.
        max_characters: Longest outcome in the prompt.
    """
    written: dict[int, Monologue] = {}
    for attempt in range(tries):
        open_rows = [row for row in range(len(asked)) if row not in written or written[row].kind != "kept"]
        if not open_rows:
            break
        replies = policy.generate(
            [ask(asked[row], asking, seed=seed, max_characters=max_characters) for row in open_rows],
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seeds=[_seed(asked[row], seed, attempt) for row in open_rows],
        )
        for row, reply in zip(open_rows, replies, strict=True):
            cut_off = reply.completion_tokens >= max_new_tokens
            kind, words = read_monologue(reply.text, asked[row].step.expert_action, cut_off=cut_off)
            written[row] = Monologue(asked[row].step.id, kind, words, attempt + 1, reply.text)
    return [written[row] for row in range(len(asked))]


def _seed(scene: Scene, seed: int, attempt: int) -> int:
    return int(np.random.default_rng([seed, crc32(scene.step.id.encode()), attempt]).integers(2**62))


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
