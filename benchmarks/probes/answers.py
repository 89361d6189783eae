"""Shared parts of `judgement` and `next-action`: settings, sampling of questions, model calls, answers on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import numpy as np

from act_gym.config import Bound, NotNegative, Positive, check_bounds
from act_gym.errors import RunError, UsageError
from act_gym.io.jsonl import RecordWriter, read_records, write_records
from act_gym.io.run_dir import Run, check_folder, locked, refuse_secrets
from act_gym.progress import track
from act_gym.types import ExpertStep
from agents.conversation import fitted
from agents.prompt_config import Question, trained_with, view_of, warn_if_other
from agents.prompt_sets import DEFAULT
from agents.prompts import Message, read_reply
from benchmarks.reporting.tables import show_summary
from benchmarks.stats.intervals import wilson
from benchmarks.stats.measurement import Measurement, Summary

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["QUESTIONS", "AskSettings", "ask_model", "drawn", "messages", "share", "write_answers"]

T = TypeVar("T")

QUESTIONS = "questions.jsonl"
"""The file of a run folder with the questions: the records of the inputs, each with its `number`."""

_LEAVES = ("records.jsonl", QUESTIONS, "summary.json")


@dataclass(frozen=True, kw_only=True)
class AskSettings:
    """How a model is asked; a program adds what it is asked about."""

    model: str = "smollm2"
    """`smollm2`, a folder with a checkpoint, or an id of the Hugging Face hub."""
    decode: Literal["free", "ranked"] = "ranked"
    """free: what the model writes. ranked: the likeliest of the possible answers."""
    label: str = ""
    """Name of this run in comparisons, e.g. `after ACT`; the model's name if empty."""
    out: Path = Path("runs/answers")
    """The run folder."""
    limit: NotNegative = 0
    """At most this many questions, drawn from all of them; 0 for all."""
    seed: NotNegative = 0
    """Which questions are drawn, and of sampled replies."""
    thinking: bool = False
    """Whether the model is asked to reason first; under ranked it is asked so and cannot."""
    history: Literal["auto", "conversation", "window"] = "auto"
    """conversation: the episode as a growing chat. window: one message with the first observation, the recent turns and
    the present observation. auto: as the checkpoint was trained, in the four settings below as well, else
    conversation."""
    window: NotNegative = 3
    """With window: recent turns that are shown."""
    list_commands: NotNegative = 0
    """With window: admissible commands that are listed at most; 0 lists none."""
    max_characters: Positive = 1200
    """Each observation is cut to this length."""
    prompts: str = DEFAULT
    """The prompt set, a name or a folder."""
    max_new_tokens: Positive = 64
    """Longest reply of free."""
    temperature: Annotated[float, Bound(least=0)] = 0.0
    """Of free; 0 takes the likeliest token."""
    batch_size: Positive = 16
    """Questions asked at once."""
    device: str = "auto"
    """`auto`, `cpu` or a torch device such as `cuda:1`."""
    dtype: str = "auto"
    """`float32`, `bfloat16`, `float16` or `auto`."""
    json: bool = False
    """Print the summary as JSON instead of a table."""
    resume: bool = False
    """Continue the run in the folder; `--limit` may be larger than before."""
    overwrite: bool = False
    """Remove the run in the folder and start it again."""

    def asking(self) -> Question:
        """Return how a model is asked.

        Raises:
            UsageError: The settings do not fit together, or there is no such prompt set.
        """
        own: dict[str, Any] = {
            "window": self.window,
            "list_commands": self.list_commands,
            "max_characters": self.max_characters,
            "prompts": self.prompts,
            "history": self.history,
        }
        if self.history == "auto":
            trained = trained_with(self.model)
            own |= {"history": "conversation", **{name: trained[name] for name in own if name in trained}}
        return Question(thinking=self.thinking, **own)


def ask_model(
    kind: str,
    settings: AskSettings,
    inputs: Sequence[Path],
    read: Callable[[dict[str, Any]], T],
    asker: Callable[[Policy], Callable[[Sequence[tuple[int, T]]], Iterable[dict[str, Any]]]],
    measure: Callable[[Iterable[dict[str, Any]]], tuple[Measurement, ...]],
    *,
    also: Sequence[Path] = (),
    check: Callable[[Sequence[T]], None] = lambda _: None,
) -> None:
    """Ask a model everything in some files, and leave the answers and their summary in the run folder.

    Args:
        kind: Of the summary, `judge` or `next_action`; also the program's module.
        settings: The program's arguments.
        inputs: Files of records.
        read: Makes a question of a record.
        asker: Takes the model and returns the function that answers a batch.
        measure: Makes measurements of all answers.
        also: Other files that shape the answers; a run is not continued with others.
        check: Refuses questions that cannot be asked, before the model is loaded and the folder is made.
    """
    _check(settings)
    check_folder(settings.out, _LEAVES, resume=settings.resume, overwrite=settings.overwrite)
    records = drawn([record for path in inputs for record in read_records(path)], settings.limit, settings.seed)
    questions = [(number, _question(read, record, inputs)) for number, record in records]
    check([question for _, question in questions])
    asking = settings.asking()
    warn_if_other(settings.model, asking, judging=kind == "judge")

    from agents.local.model import Policy

    policy = Policy.load(settings.model, device=settings.device, dtype=settings.dtype)
    ask = asker(policy)
    subject = f"{policy.name}:{settings.decode}"
    with locked(settings.out, f"asking into {settings.out}"):
        run = Run(
            settings.out,
            f"benchmarks.{kind}",
            settings,
            inputs=[*inputs, *also],
            facts={"asking": asking.facts()},
            resume=settings.resume,
            overwrite=settings.overwrite,
            leaves=_LEAVES,
            growing=("limit",),
        )
        # The questions are kept with the answers, so that the folder can be read anywhere.
        write_records(run.path(QUESTIONS), ({"number": number, **record} for number, record in records))
        label = "judgements" if kind == "judge" else "next actions"
        answers = _answer_all(run, questions, ask, batch_size=settings.batch_size, label=label)
        summary = Summary(kind=kind, label=settings.label or subject, subject=subject, measurements=measure(answers))
        summary.write(run.folder)
    show_summary(summary, as_json=settings.json)


def _check(settings: AskSettings) -> None:
    refuse_secrets(settings)
    check_bounds(settings)


def _question(read: Callable[[dict[str, Any]], T], record: dict[str, Any], inputs: Sequence[Path]) -> T:
    try:
        return read(record)
    except (KeyError, TypeError, AttributeError) as cause:
        names = ", ".join(map(str, inputs))
        raise RunError(
            f"{names} holds a record of another kind ({cause!r}). "
            "Expected decisions.jsonl or pairs.jsonl of act-gym train pairs."
        ) from cause


def drawn(items: Sequence[T], limit: int, seed: int) -> list[tuple[int, T]]:
    """Return at most `limit` items with their places, drawn from all of them; 0 returns all.

    Raises:
        UsageError: There are none.
    """
    if not items:
        raise UsageError("The files hold nothing to ask about.")
    if not 0 < limit < len(items):
        return list(enumerate(items))
    places = sorted(np.random.default_rng(seed).permutation(len(items))[:limit].tolist())
    return [(place, items[place]) for place in places]


def _answer_all(
    run: Run,
    questions: Sequence[tuple[int, T]],
    ask: Callable[[Sequence[tuple[int, T]]], Iterable[dict[str, Any]]],
    *,
    batch_size: int,
    label: str,
) -> list[dict[str, Any]]:
    """Ask batch by batch, append the answers to `records.jsonl`, and return all of the file.

    Args:
        run: The run folder; questions whose answers are there already are not asked again.
        questions: Questions with their numbers.
        ask: Takes a batch and returns one record for each question, with its `number`.
        batch_size: Questions asked at once.
        label: Text of the progress bar.
    """
    path = run.path("records.jsonl")
    finished = {record["number"] for record in read_records(path)} if path.exists() else set()
    waiting = [question for question in questions if question[0] not in finished]

    def answers() -> Iterator[dict[str, Any]]:
        for start in range(0, len(waiting), batch_size):
            yield from ask(waiting[start : start + batch_size])

    with RecordWriter(path) as file:
        for record in track(answers(), label, total=len(questions), done=len(questions) - len(waiting)):
            file.write(record)
    return list(read_records(path))


def messages(
    policy: Policy,
    asking: Question,
    step: ExpertStep,
    shown: tuple[str, str] | None = None,
    *,
    thinking: bool,
    longest: int = 64,
) -> list[Message]:
    """Ask which action is next in a state, or which of two is better; a conversation that is too long loses turns.

    Args:
        policy: The model.
        asking: How the state is shown.
        step: The state.
        shown: The two actions; None to ask for the next one.
        thinking: Whether the model is asked to reason first.
        longest: Tokens that the reply may have.
    """
    asking, view = replace(asking, thinking=thinking), view_of(step)
    asked = asking.judging(view, *shown) if shown else asking.messages(view)
    return fitted(policy, asked, policy.context - longest, thinking=thinking)


def write_answers(
    policy: Policy,
    prompts: Sequence[Sequence[Message]],
    *,
    max_new_tokens: int,
    temperature: float,
    thinking: bool,
    seeds: Sequence[int],
    prefix: str | Sequence[str] = "",
) -> list[tuple[str, str | None]]:
    """Let the model write; return each reply with the action found in it. A reply starts with its prefix."""
    completions = policy.generate(
        prompts, max_new_tokens=max_new_tokens, temperature=temperature, seeds=seeds, prefix=prefix, thinking=thinking
    )
    return [(completion.text, read_reply(completion.text).action) for completion in completions]


def share(name: str, outcomes: Iterable[bool], group: Sequence[str]) -> list[Measurement]:
    """Measure a share with Wilson's interval; no measurement if there are no outcomes."""
    values = list(outcomes)
    return [Measurement.of(name, wilson(sum(values), len(values)), group)] if values else []
