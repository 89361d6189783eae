"""What is tried beside the expert's action: what a policy proposes, and random admissible commands.

Source: Early Experience (arXiv 2510.08558). For self-reflection the policy proposes some alternatives at
temperature 1, and those that are not admissible are replaced by random admissible commands; for implicit
world modelling random admissible commands are tried besides.
"""

from __future__ import annotations

from dataclasses import dataclass

from act_gym.types import ExpertStep
from agents.placeholders import is_admissible
from agents.prompts import normalise
from trainers.data.execution import Attempt
from trainers.data.proposers import Proposal, Random

__all__ = ["RANDOM", "REPLACEMENT", "Chosen", "choose"]

RANDOM, REPLACEMENT = "random", "replacement"
"""Sources of an `Experience` that no policy proposed."""


@dataclass(frozen=True)
class Chosen:
    """What is tried at one state.

    Attributes:
        attempts: The policy's proposals first, then replacements, then random commands; all distinct.
        inadmissible: Proposals that the state does not admit.
        replaced: How many random commands stand for those and for replies without an action.
    """

    attempts: tuple[Attempt, ...]
    inadmissible: int = 0
    replaced: int = 0


def choose(
    step: ExpertStep, proposal: Proposal, proposer: str, *, alternatives: int, explore: int, seed: int
) -> Chosen:
    """Choose what is tried at a state.

    A proposal equal to the expert's action, or to another proposal, is dropped and not replaced. Where the
    admissible commands are not known, every proposal is kept and nothing is drawn.

    Args:
        step: The state.
        proposal: What was proposed there; nothing at all is as if every reply had been unreadable.
        proposer: Who proposed it.
        alternatives: How many were asked for.
        explore: How many random commands are tried besides.
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
