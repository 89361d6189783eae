"""Three ways to find an action that is assumed to be worse than the expert's.

`free` is the paper's: the initial policy answers the state and what it writes is the alternative.
`ranked` draws from the policy's own distribution over the admissible commands, for models that hardly
ever write a valid command. `random` needs no model. Nothing here is executed in an environment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from zlib import crc32

import numpy as np

from act_gym.bounds import Positive, PositiveFloat, Seed
from act_gym.core import Decision
from agents.blanks import has_blank
from agents.prompts import acting_messages, normalise, read_reply
from trainers.runs import provenance

if TYPE_CHECKING:
    from agents.policy import Policy

__all__ = ["Free", "Proposal", "Proposer", "ProposerSettings", "Random", "Ranked", "asked", "generator_of"]

_TOP = 16  # of the admissible commands, as many of the likeliest stand for the policy's distribution


@dataclass(frozen=True, kw_only=True)
class ProposerSettings:
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
    """What was proposed at one state.

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
    """Proposes alternatives for a batch of decisions, the same for each decision in any batch."""

    @property
    def name(self) -> str:
        """Who proposes and how, e.g. `SmolLM2-135M-Instruct:ranked`."""
        ...

    def propose(self, decisions: Sequence[Decision], count: int) -> list[Proposal]:
        """Return a proposal of at most `count` alternatives for each decision."""
        ...


def generator_of(seed: int, decision: Decision, purpose: str) -> np.random.Generator:
    """Return a generator that depends on nothing but the seed, the decision and what it is for."""
    return np.random.default_rng([seed, crc32(decision.id.encode()), crc32(purpose.encode())])


@dataclass(frozen=True)
class Random:
    """Any admissible command but the expert's, each as likely as the other."""

    seed: int

    @property
    def name(self) -> str:
        """`random`."""
        return "random"

    def propose(self, decisions: Sequence[Decision], count: int) -> list[Proposal]:
        """Draw without replacement; see `Proposer`."""
        proposals = []
        for decision in decisions:
            others = _others(decision, decision.admissible_commands)
            order = generator_of(self.seed, decision, "random").permutation(len(others))[:count]
            proposals.append(Proposal(tuple(others[index] for index in order.tolist())))
        return proposals


@dataclass(frozen=True)
class Ranked:
    """Draws from the policy's distribution over admissible commands, the expert's left out.

    The distribution is the softmax of the log-probabilities of the 16 likeliest commands. Those are
    sums over tokens, as the model itself would write them, so short commands are not made longer.
    """

    policy: Policy
    seed: int
    temperature: float = 1.0
    thinking: bool = False

    @property
    def name(self) -> str:
        """The policy's name and `:ranked`."""
        return f"{self.policy.name}:ranked"

    def propose(self, decisions: Sequence[Decision], count: int) -> list[Proposal]:
        """Draw without replacement; see `Proposer`."""
        asked = [decision for decision in decisions if not all(map(has_blank, decision.admissible_commands))]
        rankings = self.policy.rank(
            [acting_messages(decision.state, thinking=self.thinking) for decision in asked],
            [decision.admissible_commands for decision in asked],
            top=_TOP,
            thinking=self.thinking,
        )
        drawn = {
            decision.id: self._draw(decision, ranking, count) for decision, ranking in zip(asked, rankings, strict=True)
        }
        return [Proposal(drawn.get(decision.id, ())) for decision in decisions]

    def _draw(self, decision: Decision, ranking: Sequence[tuple[str, float]], count: int) -> tuple[str, ...]:
        scores = dict(ranking)
        others = _others(decision, list(scores))
        if not others:
            return ()
        logits = np.array([scores[command] for command in others]) / self.temperature
        chances = np.exp(logits - logits.max())
        # Adding Gumbel noise and sorting is drawing without replacement, and no chance of zero can stop it.
        noise = generator_of(self.seed, decision, "ranked").gumbel(size=len(others))
        order = np.argsort(-(np.log(chances + np.finfo(float).tiny) + noise), kind="stable")[:count]
        return tuple(others[index] for index in order.tolist())


@dataclass(frozen=True)
class Free:
    """What the policy writes at the state. A reply without an action is asked for again, some times."""

    policy: Policy
    seed: int
    temperature: float = 1.0
    max_new_tokens: int = 32
    tries: int = 3
    prefix: str = ""
    thinking: bool = False

    @property
    def name(self) -> str:
        """The policy's name and `:free`."""
        return f"{self.policy.name}:free"

    def propose(self, decisions: Sequence[Decision], count: int) -> list[Proposal]:
        """Sample `count` replies a state; matches and repetitions are dropped and not replaced."""
        actions: dict[tuple[int, int], str] = {}
        unreadable = [0] * len(decisions)
        slots = [(row, slot) for row in range(len(decisions)) for slot in range(count)]
        for attempt in range(self.tries):
            open_slots = [slot for slot in slots if slot not in actions]
            if not open_slots:
                break
            completions = self.policy.generate(
                [acting_messages(decisions[row].state, thinking=self.thinking) for row, _ in open_slots],
                max_new_tokens=self.max_new_tokens,
                temperature=self.temperature,
                seeds=[self._seed(decisions[row], slot, attempt) for row, slot in open_slots],
                prefix=self.prefix,
                thinking=self.thinking,
            )
            for place, completion in zip(open_slots, completions, strict=True):
                action = read_reply(completion.text).action
                if action is None:
                    unreadable[place[0]] += 1
                else:
                    actions[place] = action
        written = [
            [actions[row, slot] for slot in range(count) if (row, slot) in actions] for row in range(len(decisions))
        ]
        return [_sift(*row) for row in zip(decisions, written, unreadable, strict=True)]

    def _seed(self, decision: Decision, slot: int, attempt: int) -> int:
        return int(generator_of(self.seed, decision, f"free {slot} {attempt}").integers(2**62))


def asked(
    settings: ProposerSettings, how: str, decisions: Iterable[Decision], count: int, folder: Path
) -> Iterator[tuple[Decision, Proposal, str]]:
    """Yield each decision with what is proposed there, and the proposer's name; no model is loaded for no decision.

    Args:
        settings: Who proposes.
        how: `free`, `ranked` or `random`.
        decisions: The states; no more than a batch is read ahead.
        count: Alternatives of each at most.
        folder: The run folder, which is told who proposes.

    Raises:
        RunError: Another proposer has begun the run.
    """
    waiting = iter(decisions)
    proposer: Random | Ranked | Free | None = None
    while batch := list(islice(waiting, settings.batch_size)):
        if proposer is None:
            proposer = _proposer(settings, how)
            policy = None if isinstance(proposer, Random) else proposer.policy
            provenance.note_proposer(folder, proposer.name, settings.model, policy)
        for decision, proposal in zip(batch, proposer.propose(batch, count), strict=True):
            yield decision, proposal, proposer.name


def _proposer(settings: ProposerSettings, how: str) -> Random | Ranked | Free:
    if how == "random":
        return Random(settings.seed)
    from agents.policy import Policy

    policy = Policy.load(settings.model, device=settings.device, dtype=settings.dtype)
    if how == "ranked":
        return Ranked(policy, settings.seed, settings.temperature)
    return Free(
        policy,
        settings.seed,
        settings.temperature,
        settings.max_new_tokens,
        settings.tries,
        settings.prefix,
        settings.thinking,
    )


def _sift(decision: Decision, actions: Sequence[str], unreadable: int) -> Proposal:
    expert = normalise(decision.expert_action)
    distinct = {normalise(action): action for action in reversed(actions)}
    kept = tuple(action for action in actions if distinct[normalise(action)] is action and normalise(action) != expert)
    matched = sum(normalise(action) == expert for action in actions)
    return Proposal(kept, matched, len(actions) - matched - len(kept), unreadable)


def _others(decision: Decision, commands: Sequence[str]) -> list[str]:
    """Return the commands that differ from the expert's and from each other; none that is still to be filled in."""
    distinct = {normalise(command): command for command in reversed(commands) if not has_blank(command)}
    distinct.pop(normalise(decision.expert_action), None)
    return [command for command in commands if distinct.get(normalise(command)) is command]
