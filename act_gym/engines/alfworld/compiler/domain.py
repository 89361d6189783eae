"""Compiled logic of a domain, a grammar and a goal's shape: functions of a game and a state.

Games share it: a handful covers all of ALFWorld's games. It is plain Python source, written by `actions.py`, `texts.py`
and `queries.py`, executed once and cached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from act_gym.engines.alfworld.compiler.actions import NOT, deleted, doubled, write_apply, write_commands, write_feedback
from act_gym.engines.alfworld.compiler.codegen import Body, Source, Work, execute
from act_gym.engines.alfworld.compiler.fact_tables import Changes, Layout, Tables, add, remove
from act_gym.engines.alfworld.compiler.queries import REAL, Joins
from act_gym.engines.alfworld.compiler.texts import Texts
from act_gym.engines.alfworld.language.conditions import (
    And,
    Condition,
    Domain,
    Exists,
    Fact,
    Forall,
    Literal,
    Or,
    Problem,
    unsupported,
)
from act_gym.engines.alfworld.language.grammar import Grammar, Reference
from act_gym.errors import EngineError

__all__ = ["Binding", "Logic", "compile_logic", "goal_shape"]

Binding = tuple[Any, ...]
"""The number of an action and the objects that stand for its parameters."""


@dataclass(frozen=True, slots=True, eq=False)
class Logic:
    """Logic of one kind of games. All functions take a game, its static tables and a state's tables.

    Attributes:
        domain: Types, predicates and actions.
        layout: The tables.
        changes: The slots of each fluent's facts in a state's tables.
        commands: For each action, adds its commands in a state to a dictionary from command to binding.
        applied: For each action, returns the tables after it; takes the objects of a binding as well.
        feedback: For each action, returns its feedback; takes the objects of a binding as well.
        intro: Returns the first text of the game.
        won: Returns whether the goal holds; takes the goal's objects as well.
        queried: Predicates that the grammar queries.
        goal: The goal's shape, see `goal_shape`.
        source: The code, for inspection.
        work: The loops of its functions, to estimate their cost.
    """

    domain: Domain
    layout: Layout
    changes: Mapping[str, Changes]
    commands: tuple[Callable[..., None], ...]
    applied: tuple[Callable[..., Tables], ...]
    feedback: tuple[Callable[..., str], ...]
    intro: Callable[..., str]
    won: Callable[..., bool]
    queried: frozenset[str]
    goal: Condition
    source: str
    work: Mapping[str, Work]

    def facts(self, facts: Mapping[str, tuple[Fact, ...]]) -> dict[str, tuple[Fact, ...]]:
        """Return a problem's facts together with those that only the tables tell apart."""
        real = (name for name in self.changes if name.endswith(REAL))
        return {**facts, **{name: facts.get(name.removesuffix(REAL), ()) for name in real}}


def goal_shape(goal: Condition) -> tuple[Condition, tuple[str, ...]]:
    """Return a goal with a variable in place of every object it names, and these objects in order."""
    names: list[str] = []

    def shaped(condition: Condition) -> Condition:
        match condition:
            case Literal(predicate, terms, positive):
                return Literal(predicate, tuple(map(term, terms)), positive)
            case And(parts):
                return And(tuple(map(shaped, parts)))
            case Or(parts):
                return Or(tuple(map(shaped, parts)))
            case Exists(parameters, body):
                return Exists(parameters, shaped(body))
            case Forall(parameters, body):
                return Forall(parameters, shaped(body))

    def term(name: str) -> str:
        if name.startswith("?"):
            return name
        if name not in names:
            names.append(name)
        return f"?goal.{names.index(name)}"

    return shaped(goal), tuple(names)


def compile_logic(
    domain: Domain, grammar: Grammar, constants: frozenset[str], goal: Condition, sample: Problem
) -> Logic:
    """Compile what games of a kind have in common.

    Args:
        domain: Types, predicates and actions.
        grammar: The texts.
        constants: Names of the rules whose text every game brings along.
        goal: The goal's shape, see `goal_shape`.
        sample: Any problem of the domain; it decides the order of loops and no result.

    Raises:
        UnsupportedGameError: A construct that the native engine does not play.
    """
    unknown = sorted(set(domain.actions) - set(grammar.actions))
    if unknown:
        unsupported(f"no text for the action {unknown[0]}")
    twice, lost = doubled(domain), deleted(domain)
    effects = {effect.literal.predicate for action in domain.actions.values() for effect in action.effects}
    layout = Layout(frozenset({*effects, *(name + REAL for name in twice), *(NOT + name for name in lost)}))
    source = Source()
    joins = Joins(domain, layout, source, sample, twice)
    texts = Texts(grammar, constants, joins, source)
    actions = list(domain.actions.values())
    spoken = [grammar.actions[action.name] for action in actions]
    names = {
        "commands": [
            write_commands(number, action, text, joins, texts, source)
            for number, (action, text) in enumerate(zip(actions, spoken, strict=True))
        ],
        "applied": [write_apply(action, joins, source) for action in actions],
        "feedback": [write_feedback(action, text, texts, source) for action, text in zip(actions, spoken, strict=True)],
    }
    intro = _write_intro(texts, source)
    won = _write_goal(goal, joins, source)
    arity = {name: len(kinds) for name, kinds in domain.predicates.items()}
    arity |= {name + REAL: arity[name] for name in twice} | {NOT + name: arity[name] for name in lost}
    changes = layout.changes(arity)
    code = str(source)
    built = execute(code, {"add": add, "remove": remove, "changes": changes, "missing": _missing})
    return Logic(
        domain=domain,
        layout=layout,
        changes=changes,
        commands=tuple(built[name] for name in names["commands"]),
        applied=tuple(built[name] for name in names["applied"]),
        feedback=tuple(built[name] for name in names["feedback"]),
        intro=built[intro],
        won=built[won],
        queried=frozenset(texts.queried),
        goal=goal,
        source=code,
        work=source.work,
    )


def _write_intro(texts: Texts, source: Source) -> str:
    body = Body("intro", ())
    body.line(f"return {texts.template((Reference('intro'),), ())}")
    source.add(body)
    return "intro"


def _write_goal(goal: Condition, joins: Joins, source: Source) -> str:
    named = sorted(_named(goal), key=lambda name: int(name.rpartition(".")[2]))
    body = Body("won", [source.name("goal") for _ in named])
    scope = dict(zip(named, body.arguments, strict=True))
    body.line(f"return {joins.test(goal, scope)}")
    source.add(body)
    return "won"


def _named(condition: Condition) -> set[str]:
    match condition:
        case Literal(_, terms, _):
            return {term for term in terms if term.startswith("?goal.")}
        case And(parts) | Or(parts):
            return set().union(*map(_named, parts))
        case Exists(_, body) | Forall(_, body):
            return _named(body)


def _missing(what: str) -> NoReturn:
    raise EngineError(f"The game's grammar lacks {what}, which this state needs. Is its file one of ALFWorld's?")
