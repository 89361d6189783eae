"""New ALFWorld games without end, each made from its split and number alone.

Rooms, object types, what fits where, the goals and their wording are read from the installed alfworld
package; what stands where in a game is drawn here. Nothing is downloaded, and TextWorld is not needed
to make a game. How the games compare with the real ones: `docs/generated-games.md`.
"""

from __future__ import annotations

from typing import Any

from act_gym.engines.alfworld.generate.alfworld_data import language
from act_gym.engines.alfworld.generate.goals import SPLITS, Goal, goal
from act_gym.engines.alfworld.generate.placement import furnish
from act_gym.engines.alfworld.generate.problem import problem
from act_gym.engines.alfworld.generate.rng import Draw
from act_gym.engines.alfworld.generate.rooms import room
from act_gym.engines.alfworld.generate.solution import walkthrough

__all__ = ["SPLITS", "Goal", "generate", "goal"]

_GOAL_HOLE = "UNKNOWN GOAL"


def generate(split: str, index: int) -> dict[str, Any]:
    """Return a game as a `.tw-pddl` file holds it: the same for the same arguments, for ever.

    Args:
        split: `train`, `seen` or `unseen`.
        index: The game's number in the split, from 0; there is no last one.

    Returns:
        `pddl_domain`, `grammar` and `pddl_problem` as text, `solvable` (True) and `walkthrough`, a
        list of commands that solves the game.

    Raises:
        UnknownNameError: There is no such split.
        UsageError: The number is negative.
        MissingDependencyError: The alfworld package is not installed.
        CorruptDataError: Its data is not what the games are made from.
    """
    wanted = goal(split, index)
    where = room(wanted.room)
    draw = Draw(f"{split}/{index}/room")
    things = furnish(where, wanted, draw)
    domain, grammar = language()
    return {
        "pddl_domain": domain,
        "grammar": grammar.replace(_GOAL_HOLE, wanted.sentence(draw)),
        "pddl_problem": problem(f"generated_{split}_{index}", where, things, wanted, draw),
        "solvable": True,
        "walkthrough": list(walkthrough(where, things, wanted)),
    }
