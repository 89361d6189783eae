"""What expressions say, held against what upstream evaluates them to; and what must never be evaluated."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textworld.envs.pddl.textgen import EvalSymbol
from textworld.generator.game import EntityInfo

from act_gym.engines.alfworld.language.expressions import Concatenation, Constant, Field, FirstTrue, parse_expression
from act_gym.errors import UnsupportedGameError


def some_of(*fragments, size=12):
    return st.lists(st.sampled_from(fragments), max_size=size).map("".join)


VALUES = {"o": EntityInfo("apple_1", "object"), "r": EntityInfo("fridge_2", "receptacle")}
for entity in VALUES.values():
    entity.name, entity.definite, entity.indefinite = entity.id.replace("_", " "), "the", "a"


def said(expression):
    match expression:
        case Constant(text):
            return text
        case Field(variable, name):
            return getattr(VALUES[variable], name)
        case Concatenation(parts):
            return "".join(map(said, parts))
        case FirstTrue(options):
            return next((text for text in map(said, options[:-1]) if text), None) or said(options[-1])


def upstream_said(text):
    (symbol,) = EvalSymbol(text).derive({"variables": VALUES})
    return str(symbol)


def said_or_missing(say, expression):
    try:
        return say(expression)
    except (KeyError, NameError):  # of a variable that is not bound
        return "missing"


NAMES = ["name", "id", "type", "definite", "indefinite"]
FIELDS = st.builds("{}.{}".format, st.sampled_from("or"), st.sampled_from(NAMES))
STRINGS = some_of("a", " ", "#", "é", '"', "+", "or", size=3).map(lambda text: f"'{text}'")
SUMS = st.recursive(
    FIELDS | STRINGS,
    lambda inner: (
        st.builds("{} + {}".format, inner, inner)
        | st.builds("({} or {})".format, inner, inner)
        | st.builds(" ({}) ".format, inner)
    ),
    max_leaves=6,
)


@given(SUMS | st.builds("{} or {}".format, SUMS, SUMS) | st.sampled_from(["o", " r ", "'' or o", "\to.name # note"]))
def test_an_expression_says_what_upstream_evaluates_it_to(text):
    assert said(parse_expression(text)) == upstream_said(text)


@settings(max_examples=200)
@given(some_of("o", "r", ".name", ".id", "'", "''", '"', " ", "+", "or", " or ", "(", ")", ".", "1", "not ", ",", "#"))
def test_an_expression_is_refused_or_says_what_upstream_evaluates_it_to(text):
    try:
        expression = parse_expression(text)
    except UnsupportedGameError:
        return
    assert said_or_missing(said, expression) == said_or_missing(upstream_said, text)


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "o.__class__.__mro__",
        "o.name.upper()",
        "o.noun",
        "o['name']",
        "f'{o}'",
        "'a' 'b' * 3",
        "'\\x41'",
        "o + r",
        "('' or o) + 'x'",
        "(lambda: o)()",
        "o if r else o",
        "o and r",
        "o - r",
        "1",
        "None",
        "b'x'",
        "self",
        "context.name",
        "o.name o.name",
        "\x00",
        "\ud800",
        "(" * 400 + "o" + ")" * 400,
        "not " * 240 + "o",
        "(o or " * 30 + "o" + ")" * 30,
        "o.name + " * 200 + "o.name",
    ],
)
def test_an_expression_beyond_strings_and_fields_is_refused_and_named(expression):
    with pytest.raises(UnsupportedGameError, match=r'expression.*Play it with engine="textworld"\.$'):
        parse_expression(expression)


def test_a_long_sum_is_no_deep_one():
    parts = parse_expression("+".join(["o.id"] * 190)).parts
    assert parts == (Field("o", "id"),) * 190
