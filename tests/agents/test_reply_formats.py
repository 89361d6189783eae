import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from act_gym.errors import UnknownNameError
from agents.reply_formats import FORMATS, TOOL, find_format, read_react, read_tool_calls, until, write_tool_call

WORDS = st.lists(
    st.text(st.characters(exclude_characters="<>:", exclude_categories=("Z", "C")), min_size=1), min_size=1
)
ACTIONS = WORDS.map(" ".join).filter(lambda text: not text.lower().startswith(("thought", "action", "observation")))
THOUGHTS = st.one_of(st.just(""), ACTIONS)
PIECES = [
    *("<think>", "</think>", "<action>", "</action>", "<tool_call>", "</tool_call>", "Thought:", "Action:", "\n"),
    *("Observation:", "**Action:**", '{"name": "act", "arguments": ', '{"command": "', '"}', "}", "[" * 500, "\u202e"),
    *("\x00", "\ud800", "'; DROP TABLE", "1" * 5000),
]
HOSTILE = st.lists(st.one_of(st.sampled_from(PIECES), st.text()), max_size=12).map("".join)


@pytest.mark.parametrize("name", FORMATS)
@given(text=HOSTILE)
@example(text='<tool_call>{"name": "act", "arguments": ' + "[" * 100_000)
@example(text="<tool_call>" + '{"a":' * 100_000 + "</tool_call>")
@example(text='<tool_call>{"name": "act", "arguments": ' + "9" * 5000 + "}</tool_call>")
@example(text="Action:" * 1000)
def test_any_text_is_read_without_an_exception(name, text):
    action = FORMATS[name].read(text).action
    assert action is None or (action == " ".join(action.split()) and action)


@pytest.mark.parametrize("name", FORMATS)
@given(action=ACTIONS, thought=THOUGHTS)
def test_a_written_reply_is_read_back(name, action, thought):
    reply = FORMATS[name].read(FORMATS[name].write(action, thought))
    assert (reply.action, reply.thought.split()) == (action, thought.split())


@pytest.mark.parametrize("name", FORMATS)
@given(action=ACTIONS, other=ACTIONS)
def test_two_actions_are_none(name, action, other):
    write = FORMATS[name].write
    assert FORMATS[name].read(write(action, "") + "\n" + write(other, "")).action is None


@pytest.mark.parametrize("name", FORMATS)
@given(action=ACTIONS, other=ACTIONS)
def test_an_action_inside_the_reasoning_does_not_count(name, action, other):
    write, read = FORMATS[name].write, FORMATS[name].read
    assert read(f"<think>maybe\n{write(other, '')}\n</think>\n{write(action, '')}").action == action
    assert read(f"<think>maybe\n{write(other, '')}").action is None


@given(ACTIONS, ACTIONS, ACTIONS)
def test_what_a_model_dreams_up_after_an_observation_is_not_read(thought, action, other):
    dream = f"Thought: {thought}\nAction: {action}\nObservation: done\nThought: next\nAction: {other}"
    reply = read_react(dream)
    assert (reply.action, reply.thought) == (action, thought)


@pytest.mark.parametrize(
    ("text", "action", "thought"),
    [
        ("Thought: a\nb\nAction: look", "look", "a\nb"),
        ("**Thought:** a\n**Action:** look", "look", "a"),
        ("thought: a\nACTION:  go  to desk 1 \nmore", "go to desk 1", "a"),
        ("Action:\nlook", "look", ""),
        ("I think. Action: look", None, ""),
        ("Action: ", None, ""),
        ("Observation: x\nAction: look", None, ""),
    ],
)
def test_react_replies_as_models_write_them(text, action, thought):
    reply = read_react(text)
    assert (reply.action, reply.thought) == (action, thought)


@pytest.mark.parametrize(
    ("call", "action"),
    [
        ({"name": "act", "arguments": {"command": "look", "why": 1}}, "look"),
        ({"name": "act", "arguments": '{"command": "look"}'}, "look"),
        ({"name": "act", "arguments": "look"}, None),
        ({"name": "act", "arguments": {"command": ["look"]}}, None),
        ({"name": "act", "arguments": {"command": "  "}}, None),
        ({"name": "act", "arguments": None}, None),
        ({"name": "rm", "arguments": {"command": "look"}}, None),
        ({"arguments": {"command": "look"}}, None),
        (["act", "look"], None),
        ("act", None),
    ],
)
def test_only_a_call_of_the_one_function_with_text_is_an_action(call, action):
    assert read_tool_calls(f"<tool_call>{json.dumps(call)}</tool_call>").action == action


@given(HOSTILE, HOSTILE)
def test_no_name_and_no_argument_ends_a_call_from_inside(name, arguments):
    inside = write_tool_call(name, arguments).removeprefix("<tool_call>").removesuffix("</tool_call>")
    assert json.loads(inside) == {"name": name, "arguments": arguments}
    assert "<" not in inside


@given(HOSTILE)
def test_a_command_in_a_call_arrives_as_it_was_meant(command):
    assert read_tool_calls(write_tool_call("act", {"command": command})).action == (" ".join(command.split()) or None)


def test_the_tool_has_one_required_text():
    parameters = TOOL["function"]["parameters"]
    assert parameters["required"] == ["command"]
    assert parameters["properties"]["command"]["type"] == "string"


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_asks_about_the_state_and_says_how_to_reply(name):
    (message,) = find_format(name).ask("Task: find it", False)
    assert message["content"].startswith("Task: find it\n\nWhat is your next action?")


def test_a_misspelt_format_is_answered_with_the_nearest_one():
    with pytest.raises(UnknownNameError, match="Did you mean react"):
        find_format("reakt")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("<action>a</action> <action>b</action>", "<action>a</action>"),
        ("<think><action>b</action></think><action>a</action>.", "<think><action>b</action></think><action>a</action>"),
        ("<action>b</action></think><action>a</action>.", "<action>b</action></think><action>a</action>"),
        ("<think><action>a</action>", "<think><action>a</action>"),
        ("go", "go"),
        ("", ""),
    ],
)
def test_a_reply_ends_with_its_first_action(text, kept):
    assert until("</action>", text) == kept
