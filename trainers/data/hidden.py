"""Hidden knowledge in ScienceWorld: expert actions with a name that the episode has not shown so far."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from act_gym.types import ExpertStep, Turn

__all__ = ["hidden_knowledge", "hidden_names"]

_WORD = re.compile(r"[a-z0-9]+")
# Words of the simulator's commands and of the names that it makes of parts, which a player knows from the prompt.
_KNOWN = frozenset(
    _WORD.findall(
        "a activate agent and anode around at cathode close connect containing deactivate disconnect door "
        "down dunk eat examine focus go in into inventory it living look mix move on open pick pour put read "
        "reset self task teleport terminal the thing to up use wait wait1 "
    )
)


def hidden_names(step: ExpertStep, *, free_texts: bool = True) -> tuple[str, ...]:
    """Return the words of an expert's action that neither the goal nor a text so far has shown.

    A word that was shown anywhere counts as known, so this is a lower bound: the contents of a room that was only named
    are not considered.

    Args:
        step: A state of ScienceWorld.
        free_texts: Whether the room and the inventory count in addition to the observations, where the record has them.
    """
    texts = [step.goal]
    states: tuple[Turn | ExpertStep, ...] = (*step.history, step)
    for state in states:
        texts += [state.observation, *(state.observed.values() if free_texts else ())]
    known = _KNOWN.union(_WORD.findall(" ".join(texts).lower()))
    return tuple(dict.fromkeys(word for word in _WORD.findall(step.expert_action.lower()) if word not in known))


def hidden_knowledge(steps: Iterable[ExpertStep]) -> dict[str, Any]:
    """Count ScienceWorld's states whose expert action rests on hidden knowledge.

    Returns:
        `states`; the shares of them, 0-1, `share` and `share_by_observations` (without room and inventory); `by_type`:
        states with a hidden name and all states of each task type. Empty if no state is of ScienceWorld.
    """
    states: Counter[str] = Counter()
    hidden: Counter[str] = Counter()
    by_observations = 0
    for step in steps:
        if step.task.benchmark == "ScienceWorld":
            states[step.task.task_type] += 1
            hidden[step.task.task_type] += bool(hidden_names(step))
            by_observations += bool(hidden_names(step, free_texts=False))
    if not states:
        return {}
    return {
        "states": states.total(),
        "share": hidden.total() / states.total(),
        "share_by_observations": by_observations / states.total(),
        "by_type": {name: [hidden[name], count] for name, count in sorted(states.items())},
    }
