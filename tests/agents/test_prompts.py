from hypothesis import given
from hypothesis import strategies as st

from act_gym.types import Turn
from agents.prompts import acting_messages, format_reply, normalise, read_reply, state_text

WORDS = st.lists(st.text(st.characters(exclude_characters="<>", exclude_categories=("Z", "C")), min_size=1), min_size=1)
ACTIONS = WORDS.map(" ".join)
NOISE = st.text(st.characters(exclude_characters="<>"))


@given(ACTIONS, st.one_of(st.just(""), ACTIONS))
def test_a_written_reply_is_read_back(action: str, thought: str) -> None:
    reply = read_reply(format_reply(action, thought))
    assert (reply.action, reply.thought) == (action, thought)


@given(ACTIONS, NOISE, NOISE)
def test_what_stands_around_the_tags_is_ignored(action: str, before: str, after: str) -> None:
    assert read_reply(before + format_reply(action) + after).action == action


@given(ACTIONS, ACTIONS)
def test_an_action_inside_the_reasoning_does_not_count(action: str, other: str) -> None:
    assert read_reply(f"<think>maybe {format_reply(other)}</think>{format_reply(action)}").action == action
    assert read_reply(f"<think>maybe {format_reply(other)}").action is None


@given(ACTIONS, ACTIONS)
def test_reasoning_that_the_chat_template_opened_is_read(action: str, thought: str) -> None:
    reply = read_reply(f"{thought} {format_reply('no')}</think>{format_reply(action)}")
    assert reply.action == action
    assert reply.thought.startswith(thought)


@given(st.text())
def test_any_text_is_read_without_an_exception(text: str) -> None:
    action = read_reply(text).action
    assert action is None or action.strip()


def test_no_action_an_empty_one_and_two_are_malformed() -> None:
    malformed = ("", "go north", "<action></action>", "<action> \n</action>", "<action>a", "a</action>")
    for text in (*malformed, format_reply("a") + format_reply("b"), "<action><action>a</action>"):
        assert read_reply(text).action is None, text


def test_spaces_inside_an_action_are_one() -> None:
    assert read_reply("<action>\n go  to\tdesk 1 </action>").action == "go to desk 1"


@given(st.text())
def test_normalising_twice_changes_nothing(action: str) -> None:
    assert normalise(normalise(action)) == normalise(action)


@given(ACTIONS)
def test_letter_case_and_spaces_and_a_final_stop_make_no_difference(action: str) -> None:
    assert normalise(f"  {action.replace(' ', '   ')}.\n") == normalise(action)


def test_a_state_shows_the_window_of_recent_turns_and_no_older_ones() -> None:
    turns = [Turn(observation=f"room {number}", action=f"go {number}") for number in range(5)]
    text = state_text("find it", "room 5", turns, window=2)
    first = "Task: find it\n\nFirst observation:\nroom 0\n\n"
    assert text == first + "Recent turns:\n> go 3\nroom 4\n> go 4\n\nObservation:\nroom 5"
    assert state_text("find it", "room 5", turns, window=0) == first + "Observation:\nroom 5"
    assert "First" not in state_text("find it", "room 0")
    assert "Recent" not in state_text("find it", "room 5", turns, window=0)


@given(st.text(), st.text(min_size=1), st.integers(1, 50))
def test_an_observation_is_cut_to_its_length_and_the_cut_is_marked(goal: str, observation: str, limit: int) -> None:
    shown = state_text(goal, observation, max_characters=limit).partition("Observation:\n")[2]
    stripped = observation.strip()
    if "Observation:\n" not in goal:
        assert len(shown) <= limit + 2
        assert shown == stripped or shown.endswith(" …")


def test_only_so_many_commands_are_listed() -> None:
    commands = ["look", "go", "open"]
    assert state_text("g", "o", (), commands, list_commands=2).endswith("Possible actions: look; go")
    assert "Possible" not in state_text("g", "o", (), commands)


def test_acting_asks_for_reasoning_only_when_told() -> None:
    assert "<think>" not in acting_messages("g")[0]["content"]
    assert "<think>" in acting_messages("g", thinking=True)[0]["content"]
