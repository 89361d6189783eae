"""Generator of ALFWorld games, each made from its split and number alone.

Rooms, object types, placement rules, goals and their wording come from the installed alfworld package; the placement of
a game is drawn here. Nothing is downloaded, and TextWorld is not needed to make a game. `docs/generated-games.md`
compares them with the real games.
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
    """Return a game in the form of a `.tw-pddl` file; the same arguments always give the same game.

    Args:
        split: `train`, `seen` or `unseen`.
        index: The game's number in the split, from 0, without an upper limit.

    Returns:
        `pddl_domain`, `grammar` and `pddl_problem` as text, `solvable` (True) and `walkthrough`, a list of commands
        that solves the game.

    Raises:
        UnknownNameError: The split does not exist.
        UsageError: The number is negative.
        MissingDependencyError: The alfworld package is not installed.
        CorruptDataError: The package's data is not the expected one.
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
