"""Compiled logic of a domain, a grammar and a goal's shape: functions of a game and a state.

Games share it: a handful covers all of ALFWorld's games. It is plain Python source, written here, by `texts.py` and by
`queries.py`, executed once and cached.

Two behaviours of upstream matter for actions (source lines in `docs/design/alfworld-native.md`):

- An action is omitted if its precondition already implies all its effects; so "go to" omits the agent's own place.
- Texts see every effect of an action, conditional ones too, whether or not their condition held. Predicates with such
  effects are kept twice: for conditions (the name ends in `!`) and for texts. And texts see `not_p` only for facts that
  an action once made false.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NoReturn

from act_gym.engines.alfworld.compiler.codegen import Body, Source, Work, as_tuple, execute
from act_gym.engines.alfworld.compiler.queries import REAL, Changes, Joins, Layout, Scope, Tables, add, remove
from act_gym.engines.alfworld.compiler.texts import Texts
from act_gym.engines.alfworld.language.grammar import ActionText, Grammar, Reference
from act_gym.engines.alfworld.language.pddl import (
    Action,
    And,
    Condition,
    Domain,
    Effect,
    Exists,
    Fact,
    Forall,
    Literal,
    Or,
    Problem,
    conjuncts,
    unsupported,
)
from act_gym.errors import EngineError

__all__ = [
    "NOT",
    "Binding",
    "Logic",
    "compile_logic",
    "deleted",
    "doubled",
    "goal_shape",
    "write_apply",
    "write_commands",
    "write_feedback",
]

NOT = "not_"
"""Prefix of a predicate that holds for facts that an action made false."""


def doubled(domain: Domain) -> frozenset[str]:
    """Return the predicates with conditional effects."""
    return frozenset(
        effect.literal.predicate
        for action in domain.actions.values()
        for effect in action.effects
        if _is_conditional(effect)
    )


def deleted(domain: Domain) -> frozenset[str]:
    """Return the predicates that some action can make false."""
    return frozenset(
        effect.literal.predicate
        for action in domain.actions.values()
        for effect in action.effects
        if not effect.literal.positive
    )


def write_commands(number: int, action: Action, text: ActionText, joins: Joins, texts: Texts, source: Source) -> str:
    """Write the function that puts an action's commands in a state into a dictionary; return its name.

    The dictionary's values are the number of the action and the objects that stand for its parameters.
    """
    name = source.name(f"commands_{action.name}")
    body = Body(name, ("commands",))
    body.line("names = game.names")

    def leaf(scope: Scope) -> None:
        values = [scope[parameter.name] for parameter in action.parameters]
        idle = _idle(action, scope)
        with body.block(f"if not ({idle})") if idle else nullcontext():
            body.line(f"binding = {as_tuple([str(number), *values])}")
            body.line(f"command = {texts.template(text.template, _placeholders(action, values))}")
            with body.block("if commands.setdefault(command, binding) != binding"):
                body.line("game.same_command(facts, commands, command, binding)")

    joins.loop(body, action.parameters, action.precondition, {}, leaf)
    body.line("return")
    source.add(body)
    return name


def write_feedback(action: Action, text: ActionText, texts: Texts, source: Source) -> str:
    """Write the function that returns an action's feedback; return its name."""
    name = source.name(f"feedback_{action.name}")
    values = [source.name(parameter.name) for parameter in action.parameters]
    body = Body(name, values)
    body.line("names = game.names")
    body.line(f"return {texts.template(text.feedback, _placeholders(action, values))}")
    source.add(body)
    return name


def write_apply(action: Action, joins: Joins, source: Source) -> str:
    """Write the function that returns the tables after an action; return its name."""
    name = source.name(f"apply_{action.name}")
    values = [source.name(parameter.name) for parameter in action.parameters]
    body = Body(name, values)
    scope = {parameter.name: value for parameter, value in zip(action.parameters, values, strict=True)}
    lost, twice = deleted(joins.domain), doubled(joins.domain)
    gathered = [_gather(effect, body, joins, source, scope) for effect in action.effects]
    body.line("after = facts.copy()")
    pairs = list(zip(action.effects, gathered, strict=True))
    removed = [(effect, fact) for effect, fact in pairs if not effect.literal.positive]
    added = [(effect, fact) for effect, fact in pairs if effect.literal.positive]
    for effect, fact in removed:
        predicate = effect.literal.predicate
        _change(body, effect, fact, "remove", predicate + REAL if predicate in twice else predicate)
        if predicate not in twice:
            _change(body, effect, fact, "add", NOT + predicate)
    for effect, fact in added:
        predicate = effect.literal.predicate
        _change(body, effect, fact, "add", predicate + REAL if predicate in twice else predicate)
        if predicate in lost and predicate not in twice:
            _change(body, effect, fact, "remove", NOT + predicate)
    _show(body, [*added, *removed, *(pair for pair in added if not _is_conditional(pair[0]))], twice, scope)
    body.line("return after")
    source.add(body)
    return name


def _show(body: Body, pairs: Iterable[tuple[Effect, str]], twice: frozenset[str], scope: Scope) -> None:
    """Change what texts see of predicates with conditional effects: all of them, the deleting ones last."""
    for effect, _ in pairs:
        predicate, positive = effect.literal.predicate, effect.literal.positive
        if predicate in twice:
            fact = as_tuple([scope.get(term, repr(term)) for term in effect.literal.terms])
            body.line(f"{'add' if positive else 'remove'}(after, changes[{predicate!r}], {fact})")
            body.line(f"{'remove' if positive else 'add'}(after, changes[{NOT + predicate!r}], {fact})")


def _gather(effect: Effect, body: Body, joins: Joins, source: Source, scope: Scope) -> str:
    """Write what finds an effect's facts in the state before; return their source, or the name of their list."""
    terms = effect.literal.terms
    if not effect.parameters and not _is_conditional(effect):
        return as_tuple([scope.get(term, repr(term)) for term in terms])
    if effect.parameters and _is_conditional(effect):
        unsupported(f"a conditional effect on {effect.literal.predicate} below forall")
    name = source.name("found")
    body.line(f"{name} = []")

    def leaf(inner: Scope) -> None:
        body.line(f"{name}.append({as_tuple([inner.get(term, repr(term)) for term in terms])})")

    joins.loop(body, effect.parameters, effect.condition, scope, leaf)
    return name


def _change(body: Body, effect: Effect, fact: str, how: str, predicate: str) -> None:
    if effect.parameters or _is_conditional(effect):
        body.line(f"for fact in {fact}: {how}(after, changes[{predicate!r}], fact)")
    else:
        body.line(f"{how}(after, changes[{predicate!r}], {fact})")


def _is_conditional(effect: Effect) -> bool:
    return bool(conjuncts(effect.condition)[1])


def _idle(action: Action, scope: Scope) -> str:
    """Return the test whether an action with these objects changes nothing; None if it always changes something.

    An effect changes nothing if the precondition implies it; a deletion also if the same action adds the same fact.
    """
    demanded = [part for part in conjuncts(action.precondition)[1] if isinstance(part, Literal)]
    tests = []
    for effect in action.effects:
        if _is_conditional(effect) or effect.parameters:
            return ""
        literal = effect.literal
        same = [other for other in demanded if _could_be(other, literal)]
        if not literal.positive:
            same += [
                other.literal
                for other in action.effects
                if other.literal.positive and other.literal.predicate == literal.predicate
            ]
        nested = [
            other for other in _literals(action.precondition) if other not in demanded and _could_be(other, literal)
        ]
        if nested:
            unsupported(f"an effect of {action.name} that one alternative of its precondition demands")
        if not same:
            return ""
        tests.append(" or ".join(_equal(other.terms, literal.terms, scope) for other in same))
    return " and ".join(f"({test})" for test in tests)


def _could_be(one: Literal, other: Literal) -> bool:
    return one.predicate == other.predicate and one.positive == other.positive


def _equal(one: Sequence[str], other: Sequence[str], scope: Mapping[str, str]) -> str:
    pairs = [(scope.get(a, repr(a)), scope.get(b, repr(b))) for a, b in zip(one, other, strict=True)]
    return " and ".join(f"{a} == {b}" for a, b in pairs if a != b) or "True"


def _literals(condition: Condition) -> list[Literal]:
    match condition:
        case Literal():
            return [condition]
        case And(parts) | Or(parts):
            return [literal for part in parts for literal in _literals(part)]
        case Exists(_, body) | Forall(_, body):
            return _literals(body)


def _placeholders(action: Action, values: Sequence[str]) -> tuple[tuple[tuple[str, str], str], ...]:
    """Return the names of an action's parameters in texts, with their names in generated code."""
    return tuple(
        ((parameter.name.strip("?"), parameter.type), value)
        for parameter, value in zip(action.parameters, values, strict=True)
    )


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
