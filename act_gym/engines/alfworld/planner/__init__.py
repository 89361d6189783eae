"""Plans from any state of a game, by the game's own rules.

1. Choose the goal's objects by an estimate (`planner/heuristic.py`); only the few best choices are tried.
2. For each, collect the relevant actions and find the shortest plan among them (`planner/search.py`), unless the best
plan so far is as short as the estimate.
3. Play the plan, so the returned commands are known to win.

The plan is the shortest among the actions that were collected. The search is bounded by counts and not by time, so the
same state always gives the same plan.
"""

from __future__ import annotations

from collections.abc import Sequence

from act_gym.engines.alfworld.compiler.domain import Binding
from act_gym.engines.alfworld.game import Game, Position
from act_gym.engines.alfworld.planner.grounding import Atom
from act_gym.engines.alfworld.planner.heuristic import Candidate, Relaxed, ends
from act_gym.engines.alfworld.planner.operators import Goal, Operator, Rules, rules_of
from act_gym.engines.alfworld.planner.search import Budget, Collection, shortest

__all__ = ["is_dead_end", "plan"]

MAX_ESTIMATES = 20_000
MAX_CAREFUL_ESTIMATES = 1_000
CANDIDATES = 8
MAX_LENGTH = 60


def plan(game: Game, position: Position, *, budget: int = 1_000_000) -> tuple[str, ...] | None:
    """Return commands that win from a state; empty if it is already won.

    Args:
        game: The game.
        position: The state, any that can be reached.
        budget: Transitions that may be tried, some 10 million a second.

    Returns:
        Commands, each admissible in its turn, the last of which wins; or None if no plan was found, be it that there is
        none or that the budget was too small.
    """
    if position.won:
        return ()
    rules, facts = rules_of(game), _facts(game, position)
    relaxed = Relaxed(rules, facts, MAX_ESTIMATES)
    left = Budget(budget)
    best: tuple[str, ...] | None = None
    for candidate in relaxed.candidates(CANDIDATES):
        longest = MAX_LENGTH if best is None else len(best) - 1
        if candidate.size > longest:
            break
        seeds = relaxed.operators(candidate.steps)
        spoilt = frozenset(
            goal for goal in candidate.goals if relaxed.holds(*goal) and any(_spoils(each, goal) for each in seeds)
        )
        if spoilt:
            seeds += _careful(rules, facts, candidate, spoilt)
        collection = Collection(rules, facts, candidate.goals, seeds)
        found = shortest(collection, longest, left)
        commands = None if found is None else _played(game, position, found)
        if commands is not None:
            best = commands
    return best


def is_dead_end(game: Game, position: Position) -> bool:
    """Return whether it is certain that no commands win from a state.

    There are such states in real games: what someone holds that fits in nothing, they hold for ever, and their
    hands stay full. False means only that this is no proof.
    """
    relaxed = Relaxed(rules_of(game), _facts(game, position), MAX_ESTIMATES)
    return not position.won and not relaxed.candidates(1) and relaxed.complete


def _spoils(operator: Operator, goal: Goal) -> bool:
    """Return whether an action ends what should stay. One who only moves on, from place to place, comes back."""
    atom, positive = goal
    moves = any(other[0] == atom[0] and added == positive for (other, added), _ in operator.changes)
    return ends(operator, (goal,)) and not moves


def _careful(rules: Rules, facts: frozenset[Atom], candidate: Candidate, kept: frozenset[Goal]) -> list[Operator]:
    """Return actions that win without undoing goals that already hold."""
    relaxed = Relaxed(rules, facts, MAX_CAREFUL_ESTIMATES, kept)
    steps = relaxed.all_of(candidate.goals)
    return [] if steps is None else relaxed.operators(steps)


def _facts(game: Game, position: Position) -> frozenset[Atom]:
    return frozenset((name, *fact) for name, known in game.fluents(position).items() for fact in known)


def _played(game: Game, position: Position, steps: Sequence[Operator]) -> tuple[str, ...] | None:
    """Return the commands of a plan up to where they win, or None if they do not."""
    commands: list[str] = []
    later: tuple[Binding, ...] = tuple(step.bindings[0] for step in steps)
    for number, step in enumerate(steps):
        named = {binding: command for command, binding in game.bindings(position).items()}
        possible = [binding for binding in step.bindings if binding in named]
        if not possible:
            return None
        binding = max(possible, key=lambda binding: _shared(binding, later[number + 1 :]))
        commands.append(named[binding])
        position = game.after(position, binding)
        if position.won:
            return tuple(commands)
    return None


def _shared(binding: Binding, later: Sequence[Binding]) -> list[int]:
    """Count the objects an action shares with each later one: the next action opens them or takes from them."""
    return [len({*binding[1:]} & {*other[1:]}) for other in later]
