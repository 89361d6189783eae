"""Proposers of alternatives to the expert's action: a policy, or random admissible commands.

Source: Early Experience (arXiv 2510.08558). For self-reflection the policy proposes some alternatives at
temperature 1, and those that are not admissible are replaced by random admissible commands; for implicit
world modelling random admissible commands are tried as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from zlib import crc32

import numpy as np

from act_gym.config import Positive, PositiveFloat, Seed
from act_gym.types import ExpertStep
from agents.conversation import fitted
from agents.placeholders import has_blank, is_admissible
from agents.prompt_config import CONVERSATION, Question, view_of
from agents.prompts import Message, normalise, read_reply
from trainers.data.execution import Attempt
from trainers.run import provenance
from trainers.run.config import PromptSettings

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = [
    "RANDOM",
    "REPLACEMENT",
    "Chosen",
    "Free",
    "Played",
    "Proposal",
    "Proposer",
    "ProposerSettings",
    "Random",
    "Ranked",
    "asked",
    "choose",
    "generator_of",
]


_TOP = 16  # of the admissible commands, as many of the likeliest represent the policy's distribution


@dataclass(frozen=True, kw_only=True)
class ProposerSettings(PromptSettings):
    """Which policy proposes, and how it is asked."""

    model: str = "smollm2"
    """The policy: `smollm2`, a folder, or an id of the Hugging Face hub."""
    device: str = "auto"
    """`auto`, `cpu` or a torch device such as `cuda:1`."""
    dtype: str = "auto"
    """`float32`, `bfloat16`, `float16` or `auto`."""
    temperature: PositiveFloat = 1.0
    """Of the policy's distribution, for free and ranked."""
    max_new_tokens: Positive = 32
    """Longest reply of free; with thinking it needs hundreds."""
    tries: Positive = 3
    """How often free is asked at most until a reply holds an action."""
    prefix: str = ""
    """Text put into the model's mouth for free, e.g. `<action>` for a model that cannot write the format."""
    thinking: bool = False
    """Whether free lets the model reason before it answers."""
    batch_size: Positive = 16
    """States the model is asked about at once."""
    seed: Seed = 0
    """Of every draw."""


@dataclass(frozen=True)
class Proposal:
    """The proposals at one state.

    Attributes:
        alternatives: Distinct actions, none equal to the expert's.
        matched: Proposals that were the expert's action.
        repeated: Proposals that were made before at this state.
        unreadable: Replies that held no action.
    """

    alternatives: tuple[str, ...]
    matched: int = 0
    repeated: int = 0
    unreadable: int = 0


class Proposer(Protocol):
    """Proposes alternatives for a batch of steps, the same for each step in any batch."""

    @property
    def name(self) -> str:
        """Who proposes and how, e.g. `SmolLM2-135M-Instruct:ranked`."""
        ...

    def propose(self, steps: Sequence[ExpertStep], count: int) -> list[Proposal]:
        """Return a proposal of at most `count` alternatives for each step."""
        ...


def generator_of(seed: int, step: ExpertStep, purpose: str) -> np.random.Generator:
    """Return a generator that depends on nothing but the seed, the step and what it is for."""
    return np.random.default_rng([seed, crc32(step.id.encode()), crc32(purpose.encode())])


@dataclass(frozen=True)
class Random:
    """Draws uniformly from the admissible commands, the expert's left out."""

    seed: int

    @property
    def name(self) -> str:
        """`random`."""
        return "random"

    def propose(self, steps: Sequence[ExpertStep], count: int) -> list[Proposal]:
        """Draw without replacement; see `Proposer`."""
        proposals = []
        for step in steps:
            others = _others(step, step.admissible_commands)
            order = generator_of(self.seed, step, "random").permutation(len(others))[:count]
            proposals.append(Proposal(tuple(others[index] for index in order.tolist())))
        return proposals


@dataclass(frozen=True)
class Played:
    """Proposes the action that was played, by a model or as a detour, where it differs from the expert's."""

    @property
    def name(self) -> str:
        """`played`."""
        return "played"

    def propose(self, steps: Sequence[ExpertStep], count: int) -> list[Proposal]:
        """Return the played action; nothing if it was the expert's action, or no action; see `Proposer`."""
        actions = [step.played_action.strip() for step in steps]
        return [Proposal((action,)[:count] if action else (), matched=int(not action)) for action in actions]


@dataclass(frozen=True)
class Ranked:
    """Draws from the policy's distribution over admissible commands, the expert's left out.

    The distribution is the softmax of the log-probabilities of the 16 likeliest commands. Those are
    sums over tokens, as the model itself would write them, so short commands are not made longer.
    """

    policy: Policy
    seed: int
    temperature: float = 1.0
    asking: Question = CONVERSATION

    @property
    def name(self) -> str:
        """The policy's name and `:ranked`."""
        return f"{self.policy.name}:ranked"

    def propose(self, steps: Sequence[ExpertStep], count: int) -> list[Proposal]:
        """Draw without replacement; see `Proposer`."""
        asked = [step for step in steps if not all(map(has_blank, step.admissible_commands))]
        rankings = self.policy.rank(
            [_prompt(self.policy, self.asking, step) for step in asked],
            [step.admissible_commands for step in asked],
            top=_TOP,
            thinking=self.asking.thinking,
        )
        drawn = {step.id: self._draw(step, ranking, count) for step, ranking in zip(asked, rankings, strict=True)}
        return [Proposal(drawn.get(step.id, ())) for step in steps]

    def _draw(self, step: ExpertStep, ranking: Sequence[tuple[str, float]], count: int) -> tuple[str, ...]:
        scores = dict(ranking)
        others = _others(step, list(scores))
        if not others:
            return ()
        logits = np.array([scores[command] for command in others]) / self.temperature
        chances = np.exp(logits - logits.max())
        # Adding Gumbel noise and sorting is drawing without replacement, and no chance of zero can stop it.
        noise = generator_of(self.seed, step, "ranked").gumbel(size=len(others))
        order = np.argsort(-(np.log(chances + np.finfo(float).tiny) + noise), kind="stable")[:count]
        return tuple(others[index] for index in order.tolist())


@dataclass(frozen=True)
class Free:
    """Samples the policy's replies at the state; samples a reply without an action again, a limited number of times."""

    policy: Policy
    seed: int
    temperature: float = 1.0
    max_new_tokens: int = 32
    tries: int = 3
    prefix: str = ""
    asking: Question = CONVERSATION

    @property
    def name(self) -> str:
        """The policy's name and `:free`."""
        return f"{self.policy.name}:free"

    def propose(self, steps: Sequence[ExpertStep], count: int) -> list[Proposal]:
        """Sample `count` replies a state; matches and repetitions are dropped and not replaced."""
        actions: dict[tuple[int, int], str] = {}
        unreadable = [0] * len(steps)
        slots = [(row, slot) for row in range(len(steps)) for slot in range(count)]
        for attempt in range(self.tries):
            open_slots = [slot for slot in slots if slot not in actions]
            if not open_slots:
                break
            completions = self.policy.generate(
                [_prompt(self.policy, self.asking, steps[row], self.max_new_tokens) for row, _ in open_slots],
                max_new_tokens=self.max_new_tokens,
                temperature=self.temperature,
                seeds=[self._seed(steps[row], slot, attempt) for row, slot in open_slots],
                prefix=self.prefix,
                thinking=self.asking.thinking,
            )
            for place, completion in zip(open_slots, completions, strict=True):
                action = read_reply(completion.text).action
                if action is None:
                    unreadable[place[0]] += 1
                else:
                    actions[place] = action
        written = [[actions[row, slot] for slot in range(count) if (row, slot) in actions] for row in range(len(steps))]
        return [_sift(*row) for row in zip(steps, written, unreadable, strict=True)]

    def _seed(self, step: ExpertStep, slot: int, attempt: int) -> int:
        return int(generator_of(self.seed, step, f"free {slot} {attempt}").integers(2**62))


def asked(
    settings: ProposerSettings, how: str, steps: Iterable[ExpertStep], count: int, folder: Path
) -> Iterator[tuple[ExpertStep, Proposal, str]]:
    """Yield each step with its proposal and the proposer's name; without steps no model is loaded.

    Args:
        settings: The policy, and how it is asked.
        how: `free`, `ranked`, `random` or `played`.
        steps: The states; no more than a batch is read ahead.
        count: Alternatives of each at most.
        folder: The run folder, in which the proposer's name is recorded.

    Raises:
        RunError: Another proposer has begun the run.
    """
    waiting = iter(steps)
    proposer: Random | Played | Ranked | Free | None = None
    while batch := list(islice(waiting, settings.batch_size)):
        if proposer is None:
            proposer = _proposer(settings, how)
            policy = None if isinstance(proposer, Random | Played) else proposer.policy
            provenance.note_proposer(folder, proposer.name, settings.model, policy)
        for step, proposal in zip(batch, proposer.propose(batch, count), strict=True):
            yield step, proposal, proposer.name


def _proposer(settings: ProposerSettings, how: str) -> Random | Played | Ranked | Free:
    if how == "played":
        return Played()
    if how == "random":
        return Random(settings.seed)
    from agents.local.model import Policy

    policy = Policy.load(settings.model, device=settings.device, dtype=settings.dtype)
    asking = settings.asking(thinking=settings.thinking and how == "free")
    if how == "ranked":
        return Ranked(policy, settings.seed, settings.temperature, asking)
    return Free(
        policy,
        settings.seed,
        settings.temperature,
        settings.max_new_tokens,
        settings.tries,
        settings.prefix,
        asking,
    )


def _prompt(policy: Policy, asking: Question, step: ExpertStep, longest: int = 64) -> list[Message]:
    """Ask about a state; a conversation that does not fit the model's context loses its oldest turns."""
    messages = asking.messages(view_of(step))
    return fitted(policy, messages, policy.context - longest, thinking=asking.thinking)


def _sift(step: ExpertStep, actions: Sequence[str], unreadable: int) -> Proposal:
    expert = normalise(step.expert_action)
    distinct = {normalise(action): action for action in reversed(actions)}
    kept = tuple(action for action in actions if distinct[normalise(action)] is action and normalise(action) != expert)
    matched = sum(normalise(action) == expert for action in actions)
    return Proposal(kept, matched, len(actions) - matched - len(kept), unreadable)


def _others(step: ExpertStep, commands: Sequence[str]) -> list[str]:
    """Return the commands that differ from the expert's and from each other; none that is still to be filled in."""
    distinct = {normalise(command): command for command in reversed(commands) if not has_blank(command)}
    distinct.pop(normalise(step.expert_action), None)
    return [command for command in commands if distinct.get(normalise(command)) is command]


RANDOM, REPLACEMENT = "random", "replacement"
"""Sources of an `Experience` that no policy proposed."""


@dataclass(frozen=True)
class Chosen:
    """The actions to try at one state.

    Attributes:
        attempts: The policy's proposals first, then replacements, then random commands; all distinct.
        inadmissible: Proposals that the state does not admit.
        replaced: How many random commands replace those and replies without an action.
    """

    attempts: tuple[Attempt, ...]
    inadmissible: int = 0
    replaced: int = 0


def choose(
    step: ExpertStep, proposal: Proposal, proposer: str, *, alternatives: int, explore: int, seed: int
) -> Chosen:
    """Choose the actions to try at a state.

    A proposal equal to the expert's action, or to another proposal, is dropped and not replaced. Where the
    admissible commands are not known, every proposal is kept and nothing is drawn.

    Args:
        step: The state.
        proposal: The proposals at the state; none counts as if every reply had been unreadable.
        proposer: The proposer's name.
        alternatives: How many were asked for.
        explore: How many random commands are tried in addition.
        seed: Of the draws, which depend on nothing else but the step.
    """
    commands = step.admissible_commands
    kept = [action for action in proposal.alternatives if not commands or is_admissible(action, commands)]
    inadmissible = len(proposal.alternatives) - len(kept)
    missing = max(0, alternatives - len(kept) - proposal.matched - proposal.repeated)
    taken = {normalise(action) for action in kept}
    (drawn,) = Random(seed).propose([step], missing + explore + len(kept))
    others = [command for command in drawn.alternatives if normalise(command) not in taken]
    replacements, explored = others[:missing], others[missing : missing + explore]
    attempts = [
        *(Attempt(action, proposer) for action in kept),
        *(Attempt(command, REPLACEMENT) for command in replacements),
        *(Attempt(command, RANDOM) for command in explored),
    ]
    return Chosen(tuple(attempts), inadmissible, len(replacements))
