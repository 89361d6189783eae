"""What the readers of grammars make of a text, held against what upstream's parsers make of it."""

import json
import random
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from textworld.envs.pddl.logic import GameLogic
from textworld.envs.pddl.textgen import (
    ConditionalSymbol,
    EvalSymbol,
    ListSymbol,
    NonterminalSymbol,
    TerminalSymbol,
    _parse_and_convert,
)
from textworld.logic import Rule

from act_gym.engines.alfworld.files import GAME_FILE
from act_gym.engines.alfworld.language.expressions import parse_expression
from act_gym.engines.alfworld.language.grammar import (
    ActionText,
    Atom,
    Field,
    FirstTrue,
    Grammar,
    Listing,
    Production,
    Reference,
    Spread,
    Text,
    Variable,
    parse_grammar,
    parse_template,
)
from act_gym.engines.alfworld.language.queries import parse_query
from act_gym.errors import ActGymError, CorruptDataError, UnsupportedGameError
from act_gym.splits.alfworld import tasks

REFUSED = "refused"


def package_grammar():
    folders = find_spec("alfworld").submodule_search_locations
    return Path(folders[0], "data", "alfred.twl2").read_text(encoding="utf-8")


def ours(read, text):
    try:
        return read(text)
    except ActGymError:
        return REFUSED


def upstream_query(text):
    try:
        rule = Rule.parse_conjunctive_query(text)
    except Exception as cause:  # it raises errors of many kinds, even while it writes their messages
        raise UnsupportedGameError(text) from cause
    return tuple(
        Atom(predicate.name, tuple(Variable(each.name, each.type) for each in predicate.parameters))
        for predicate in rule.preconditions
    )


def symbol_of(symbol):
    match symbol:
        case TerminalSymbol():
            return Text(symbol.symbol)
        case NonterminalSymbol():
            return Reference(symbol.symbol)
        case EvalSymbol():
            return parse_expression(symbol.expression)
        case ConditionalSymbol():
            return Spread(symbol_of(symbol.expression), upstream_query(symbol.given) if symbol.given else ())
        case ListSymbol():
            return Listing(symbol_of(symbol.symbol))


def upstream_template(text):
    return tuple(symbol_of(symbol) for symbol in _parse_and_convert(text, rule_name="symbols"))


def upstream_grammar(text):
    try:
        logic = GameLogic(domain="", grammar=text)
    except Exception as cause:
        raise CorruptDataError("upstream cannot load it") from cause
    return Grammar(
        actions={
            name: ActionText(name, upstream_template(action.template), upstream_template(action.feedback_rule))
            for name, action in logic.actions.items()
        },
        rules={
            name: tuple(
                Production(
                    upstream_query(rule.condition) if rule.condition else (),
                    tuple(symbol_of(symbol) for symbol in rule.rhs),
                )
                for rule in rules
            )
            for name, rules in logic.grammar._rules.items()
        },
    )


def some_of(*fragments, size=12):
    return st.lists(st.sampled_from(fragments), max_size=size).map("".join)


TEMPLATES = some_of(
    *("#a#", "#over view(o, r)#", "# a\n#", "{o}", "{o.name}", "{ o.name }", "{r.indefinite + ' ' + r.name or r.id}"),
    *("{o.name | p(o:object)}", "[{o | p(o) & q(o, r:x)}]", "[{#a# | p(o)}]", "[{o}]", "{#a#}", "{o|p(o", "{o | }"),
    *("text", " ", "  ", "\n", "\r\n", "\t", "\x0b", "\\n", "\\", '"', '"quoted"', "'", "//", "// note\n", "(*", "*)"),
    *("(* note *)", "(**)", "#", "{", "}", "[", "]", "|", "<", ">", ";", "&", "é", "\u2028", "(in/on the {r.name})}"),
)
PIECES = some_of(
    *("p", "not_p", "!", "(", ")", ",", "&", ":", "o", "o:object", "o:x-y/z", "r'", "''", "p(o:object)", "q(a, b:c)"),
    *("p()", " ", "\n", "\t", "# note\n", "#", "(* note *)", "(*", "*)", "$", "/", "-", "é"),
    size=8,
)
VARIABLES = st.sampled_from(["o", "o:object", "o : object", "r:x-y/z", "r'", "r''", "é", "\no", "", "(* a *)a(**):b"])
ATOMS = st.builds(
    "{}({})".format,
    st.sampled_from(["p", "not_p", "!p", "!not_p", "p/q", " p ", "# note\np", "", "!!p"]),
    st.lists(VARIABLES, max_size=3).map(",".join),
)
QUERIES = PIECES | st.lists(ATOMS, max_size=3).map("&".join) | st.lists(ATOMS | PIECES, max_size=3).map("".join)


@settings(max_examples=400)
@given(TEMPLATES)
@example("")
@example("\n  text")
@example("#a#\ttext")
@example("#a#\t;")
@example("a\n//b\n")
@example('"\ta""b"c')
@example("[{o.nme} x")
@example("#a#(* gone *)text(* stays *)")
def test_a_template_is_read_as_upstream_reads_it(text):
    assert ours(parse_template, text) == ours(upstream_template, text)


@settings(max_examples=400)
@given(QUERIES)
@example("p(,a)")
@example("p(,a,b) & q(c)")
@example("p(a,)")
@example("p(o, o:x)")
@example("!not_p(o''')")
@example("p(o:object) & p(o:object) (* and *) & # more\n q(r)")
def test_a_query_is_read_as_upstream_reads_it(text):
    assert ours(parse_query, text) == ours(upstream_query, text)


DOCUMENT = """
grammar :: \"\"\"
    {"intro": [{"rhs": "Hello\\n\\n#look#"}], "look": [{"condition": "p(o:object)", "rhs": "[{o | p(o:object)}]"},
     {"rhs": "nothing", "weight": 2}]}
\"\"\";
action Look {
    template :: "look";
    feedback :: "#look#";
    grammar :: \"\"\"
        # a note
        {"look": [{"rhs": "{r.name}"}]}
    \"\"\";
}
action help { feedback :: "
  Help
"; template :: "help"; }
"""
FRAGMENTS = (
    *('"""', '"', ":", "::", ";", "{", "}", "[", "]", ",", "#", "# note\n", "(* note *)", "(*", "*)", "\n", " ", "\\n"),
    *("action", "actions", "action look", "action LOOK {", "grammar", "pddl", 'pddl :: """ anything """;', "// x\n"),
    *(
        'template :: "again";',
        'feedback :: "\n// x\n#look#";',
        'grammar :: """{}""";',
        'grammar :: """{"look": []}""";',
    ),
    *('{"rhs": "x", "rhs": "y"},', '"look": [{"rhs": "last"}],', '"condition": "",', '"condition": null,', "é", "\x0b"),
)


def changed(document, changes):
    for place, length, fragment in changes:
        at = int(place * len(document))
        document = document[:at] + fragment + document[at + length :]
    return document


CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 8) | st.just(0), st.sampled_from(FRAGMENTS) | st.just("")), max_size=3
)


@settings(max_examples=300)
@given(CHANGES)
def test_a_changed_document_is_read_as_upstream_reads_it(changes):
    document = changed(DOCUMENT, changes)
    assert ours(parse_grammar, document) == ours(upstream_grammar, document)


@settings(max_examples=25)
@given(st.integers(0), CHANGES)
def test_changed_pieces_of_the_real_grammar_are_read_as_upstream_reads_them(seed, changes):
    pieces = package_grammar().split("\naction ")
    chosen = random.Random(seed).sample(range(1, len(pieces)), 3)
    document = changed("".join(f"\naction {pieces[index]}" for index in chosen), changes)
    assert ours(parse_grammar, document) == ours(upstream_grammar, document)


def test_the_grammar_of_the_package_is_read_as_upstream_reads_it():
    text = package_grammar()
    grammar = parse_grammar(text)
    assert grammar == upstream_grammar(text)
    assert len(grammar.actions) == 21
    assert grammar.rules["overview(r)"][0].symbols == (
        Spread(Field("r", "indefinite"), ()),
        Text(" "),
        Spread(FirstTrue((Field("r", "name"), Field("r", "id"))), ()),
    )


def test_real_games_differ_in_their_task_alone_and_are_read_as_upstream_reads_them(alfworld_data):
    files = [
        alfworld_data / task.payload["game"] / GAME_FILE
        for split in ("train", "seen", "unseen")
        for task in tasks(split)[::40]
    ]
    texts = [json.loads(file.read_text())["grammar"] for file in files if file.is_file()]
    first = upstream_grammar(texts[0])
    assert parse_grammar(texts[0]) == first
    for text in texts[1:]:
        grammar = parse_grammar(text)
        goal = grammar.rules["task"]
        assert goal[0].symbols[0].text.startswith("Your task is to: ")
        assert replace(grammar, rules={**grammar.rules, "task": first.rules["task"]}) == first


def document(rules="{}", rest=""):
    return f'grammar :: """{rules}""";\n{rest}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rooms", "line 1 has 'rooms', where an action or a grammar block was expected"),
        (document() + "action { }", "line 2 has '{ }', where the name of an action was expected"),
        (document("{"), "a block that is not JSON"),
        (document('{"a": ' + "[" * 100_000), "a block that is not JSON"),
        (document('{"a": [{"weight": %s}]}' % ("9" * 5_000)), "a block that is not JSON"),
        (document('{"a": [{}]}'), "rule 'a' is not a list of productions with \"rhs\""),
        (document('{"a": "text"}'), "rule 'a' is not a list of productions with \"rhs\""),
        (document(rest='action a { template :: "a"; }'), "a feedback in the action that ends here was expected"),
        (document(rest='action a { template :: "a"; template :: "b"; }'), "one template for each action"),
        (document(rest='action a { template : "a"; }'), "where :: was expected"),
        (document(rest="action a { template :: a; }"), "a text in quotation marks"),
        (document(rest='action a { template :: "a" }'), "where ; was expected"),
        (document(rest="action a ("), "where { was expected"),
    ],
)
def test_what_is_no_grammar_is_corrupt_and_its_message_says_where(text, message):
    with pytest.raises(CorruptDataError) as caught:
        parse_grammar(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        " " * 1_000_001,
        document(json.dumps({str(number): [] for number in range(2_001)})),
        document("[]"),
        document('{"a": [{"rhs": 5}]}'),
        document('{"a": [{"rhs": "", "condition": 5}]}'),
        document('{"a": [{"rhs": "", "condition": "p(o"}]}'),
        document('{"a": [{"rhs": "", "condition": "p(o, o:object)"}]}'),
        document(json.dumps({"a": [{"rhs": "", "condition": "p() & " * 2_000 + "p()"}]})),
        document('{"a": [{"rhs": "{open(o)}"}]}'),
        document(json.dumps({"a": [{"rhs": "{'" + "a" * 1_000 + "'}"}]})),
    ],
)
def test_what_upstream_may_play_and_this_engine_does_not_is_refused_with_the_other_engine(text):
    with pytest.raises(UnsupportedGameError, match=r'Play it with engine="textworld"\.$'):
        parse_grammar(text)


@pytest.mark.parametrize(
    "text",
    [
        document(json.dumps({"a": [{"rhs": piece * 100_000}]}))
        for piece in ("#a#(*", "#a#", "{o}\t", '"', "[{", "(* *)", "\n// ", "(" * 9)
    ]
    + [piece * 300_000 for piece in ("(*", "# ", "(**)", "\n#")],
    ids=lambda text: ascii(text[:40]),
)
def test_hostile_repetition_is_read_or_refused_without_hanging(text):
    ours(parse_grammar, text)


def test_what_a_game_says_is_never_run(tmp_path):
    trace = tmp_path / "trace"
    with pytest.raises(UnsupportedGameError):
        parse_template(f"{{open('{trace}', 'w')}}")
    assert not trace.exists()
