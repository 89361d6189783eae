"""Compiles action schemas: admissible commands, feedback and effects.

Two behaviours of upstream matter here (source lines in `docs/design/alfworld-native.md`):

- An action is omitted if its precondition already implies all its effects; so "go to" omits the agent's own place.
- Texts see every effect of an action, conditional ones too, whether or not their condition held. Predicates with such
  effects are kept twice: for conditions (the name ends in `!`) and for texts. And texts see `not_p` only for facts that
  an action once made false.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext

from act_gym.engines.alfworld.compiler.codegen import Body, Source, as_tuple
from act_gym.engines.alfworld.compiler.queries import REAL, Joins, Scope
from act_gym.engines.alfworld.compiler.texts import Texts
from act_gym.engines.alfworld.language.conditions import (
    Action,
    And,
    Condition,
    Domain,
    Effect,
    Exists,
    Forall,
    Literal,
    Or,
    conjuncts,
    unsupported,
)
from act_gym.engines.alfworld.language.grammar import ActionText

__all__ = ["NOT", "deleted", "doubled", "write_apply", "write_commands", "write_feedback"]

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
