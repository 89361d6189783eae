"""Rationale interventions: prefill the reasoning to measure how much the answer depends on it.

The rationale intervention of Agentic Critical Training (arXiv 2603.08706, v2): a question is asked
again with the reasoning suppressed, and with a rationale that argues for the wrong action. The
question's words stay the same; only the text in `<think>…</think>` differs before the
answer. How the paper's rationales were made is not published; ours argue for the alternative of a
pair, never name the expert's action, and are kept with the answers, so that another model can be
given the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from zlib import crc32

from act_gym.errors import RunError, UsageError
from act_gym.io.jsonl import read_records
from act_gym.types import ActionPair
from agents.conversation import fitted
from agents.prompt_config import Question, view_of

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["TEMPLATES", "Intervention", "InterventionSettings", "Rationales", "prefixes", "rationales"]

Intervention = Literal["suppressed", "injected"]
"""Prefilled reasoning: empty, or an argument for the wrong action."""

Rationales = Callable[[Sequence[ActionPair]], list[str]]
"""Returns for each pair what argues for its alternative."""

TEMPLATES = (
    "I need to get closer to the goal of the task. In this state the most direct way is to {action}. It makes "
    "progress at once, and everything it needs is here. So {action} is what I should do.",
    "Let me compare what could be done. To {action} deals with what the task asks for, and nothing has to be "
    "prepared first. Anything else would cost a step and lead away from the goal. The better action is {action}.",
    "What was observed so far says that the next step is to {action}. It follows from the task, and later "
    "steps depend on it. Therefore I choose {action}.",
)

_ARGUE = (
    "Argue in two or three sentences, in the first person, that the best next action in this state is: {action}\n"
    "Do not name any other action, and do not say that you were asked to argue."
)
_TAGS = re.compile(r"</?(?:think|action)>|<\|[^|<>]*\|>")


@dataclass(frozen=True, kw_only=True)
class InterventionSettings:
    """Interventions to ask with, in addition to the plain question."""

    interventions: tuple[Intervention, ...] = ()
    """Ask everything again. suppressed: with empty reasoning. injected: with a rationale for the wrong action."""
    rationales: str = "template"
    """Who argues for the wrong action. template: sentences of ours. model: the model that is asked, before it is
    asked. Or records.jsonl of another run, so that two models get the same ones."""
    rationale_tokens: int = 96
    """Longest rationale of model, in tokens."""

    @property
    def files(self) -> list[Path]:
        """The file that rationales come from, if it is one."""
        wanted = "injected" in self.interventions and self.rationales not in ("template", "model")
        return [Path(self.rationales)] if wanted else []


def rationales(settings: InterventionSettings, policy: Policy, asking: Question) -> Rationales:
    """Return where rationales come from; `asking` says how a state is shown to a model that writes them.

    Raises:
        RunError: The file of rationales cannot be read.
        UsageError: The file holds none.
    """
    if settings.rationales == "template":
        return lambda pairs: [_from_template(pair) for pair in pairs]
    if settings.rationales == "model":
        return lambda pairs: _written(policy, asking, pairs, settings.rationale_tokens)
    return _of_another_run(Path(settings.rationales))


def prefixes(policy: Policy, intervention: Intervention, argued: Sequence[str]) -> list[str]:
    """Return the prefilled reasoning, one for each rationale."""
    return [policy.reasoned(text if intervention == "injected" else "") for text in argued]


def _from_template(pair: ActionPair) -> str:
    place = crc32(f"{pair.step.id} {pair.alternative}".encode()) % len(TEMPLATES)
    return TEMPLATES[place].format(action=pair.alternative)


def _written(policy: Policy, asking: Question, pairs: Sequence[ActionPair], longest: int) -> list[str]:
    asked = [asking.about(view_of(pair.step), _ARGUE.format(action=pair.alternative)) for pair in pairs]
    asked = [fitted(policy, messages, policy.context - longest) for messages in asked]
    replies = policy.generate(asked, max_new_tokens=longest, temperature=0, stop=None)
    return [_without_tags(reply.text).strip() for reply in replies]


def _without_tags(text: str) -> str:
    """Return text without tags, which would end the reasoning, or answer, in the model's place; nor do any remain."""
    while (rest := _TAGS.sub("", text)) != text:  # what stood on both sides of a tag may be one
        text = rest
    return text


def _of_another_run(path: Path) -> Rationales:
    known: Mapping[tuple[str, str], str] = {
        (record["id"], record["alternative"]): record["rationale"]
        for record in read_records(path)
        if record.get("rationale")
    }
    if not known:
        raise UsageError(
            f"{path} holds no rationales. Expected records.jsonl of a run with --interventions injected, "
            "or one of: template, model."
        )

    def look_up(pairs: Sequence[ActionPair]) -> list[str]:
        missing = [pair.step.id for pair in pairs if (pair.step.id, pair.alternative) not in known]
        if missing:
            raise RunError(
                f"{path} has no rationale for {missing[0]} and {len(missing) - 1} others of these questions; "
                "it was made of other pairs. Make one of these with --rationales template or model."
            )
        return [known[pair.step.id, pair.alternative] for pair in pairs]

    return look_up
