from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from act_gym.engines.alfworld.language.pddl import (
    And,
    Exists,
    Forall,
    Literal,
    Or,
    conjuncts,
    negation,
    parse_domain,
    parse_problem,
)
from act_gym.errors import CorruptDataError, UnsupportedGameError

HEAD = "(define (domain d) (:types a b - c) (:predicates (p ?x - a ?y) (q)) "


def precondition(text):
    return (
        parse_domain(f"{HEAD}(:action act :parameters (?x - a) :precondition {text} :effect (q)))")
        .actions["act"]
        .precondition
    )


def test_types_below_types_and_object_above_all():
    domain = parse_domain(f"{HEAD})")
    assert domain.is_a("a", "c")
    assert not domain.is_a("c", "a")
    assert domain.is_a("a", "object")
    assert domain.is_a("unheard-of", "object")
    assert domain.predicates == {"p": ("a", "object"), "q": ()}


def test_conditions_come_out_without_negations_of_anything_but_literals():
    condition = precondition("(not (or (q) (forall (?y) (imply (p ?x ?y) (not (q))))))")
    assert isinstance(condition, And)
    first, second = condition.parts
    assert first == Literal("q", (), positive=False)
    assert isinstance(second, Exists)
    (variable,) = second.parameters
    assert variable.name not in ("?x", "?y"), "a quantified variable has a name of its own"
    assert second.body == And((Literal("p", ("?x", variable.name)), Literal("q", ())))
    assert negation(negation(condition)) == condition


def test_a_variable_that_hides_another_is_told_from_it():
    condition = precondition("(and (p ?x ?x) (exists (?x - b) (p ?x ?x)))")
    parameters, parts = conjuncts(condition)
    assert [parameter.type for parameter in parameters] == ["b"]
    assert len({part.terms for part in parts if isinstance(part, Literal)}) == 2


def test_of_two_opposite_effects_the_one_that_makes_true_stays():
    effects = parse_domain(f"{HEAD}(:action act :effect (and (q) (not (q)))))").actions["act"].effects
    assert [effect.literal.positive for effect in effects] == [True]


def test_an_action_without_an_effect_is_none():
    assert not parse_domain(f"{HEAD}(:action act :effect (and)))").actions


@pytest.mark.parametrize("kind", [Or, Forall])
def test_a_disjunction_or_a_quantifier_is_no_list_of_parts(kind):
    condition = Or((And(()), And(()))) if kind is Or else Forall((), And(()))
    assert conjuncts(condition) == ((), [condition])


WORDS = """
( ) ? - define domain problem :action :types :predicates :init :goal :objects and or not forall exists when p q ?x a
= :effect :precondition ; é
"""
words = st.sampled_from([*WORDS.split(), "\n"])


@settings(max_examples=300)
@given(text=st.lists(words, max_size=40).map(" ".join) | st.text(max_size=200))
def test_whatever_is_no_pddl_is_refused_with_an_error_of_ours(text):
    domain = parse_domain(f"{HEAD})")
    for read in (parse_domain, lambda text: parse_problem(text, domain)):
        for whole in (text, f"{HEAD}{text})", f"(define (problem x) (:domain d) {text})"):
            with suppress(CorruptDataError, UnsupportedGameError):
                read(whole)
