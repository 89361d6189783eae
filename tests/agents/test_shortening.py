"""Pages that are too long for a prompt keep the names of their buttons; all pages here are real ones."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym import play, tasks
from act_gym.errors import MissingDataError
from agents.baselines import ExpertAgent
from agents.prompt_config import Question, view_of
from agents.prompts import Message, shorten
from trainers.data.expert_steps import steps_of

LIMIT = 1200
MODES = ("text", "text_rich", "html")
PAGE = "Back to Search [SEP] " + "long " * 400 + "[SEP] Buy Now"


def episodes(env_id: str, mode: str):
    try:
        return list(play(env_id, ExpertAgent(), tasks(env_id)[:30], env_options={"observation_mode": mode}))
    except MissingDataError as missing:
        pytest.skip(str(missing))


def names(commands):
    """What can be clicked on."""
    return [command.removeprefix("click[")[:-1] for command in commands if command.startswith("click[")]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("env_id", ["act/WebShop-generated-seen", "act/WebShop-test"])
def test_no_page_hides_a_button(env_id: str, mode: str) -> None:
    cut = hidden = 0
    for episode in episodes(env_id, mode):
        for turn in episode.turns:
            shown = shorten(turn.observation, LIMIT, turn.admissible_commands)
            plain = html.unescape(shown).lower()
            assert [name for name in names(turn.admissible_commands) if name not in plain] == []
            assert len(shown) <= LIMIT
            if shown != turn.observation.strip():
                cut += 1
                clicked = names([turn.action])
                hidden += any(name not in html.unescape(turn.observation.strip()[:LIMIT]).lower() for name in clicked)
    assert cut > 10
    if env_id == "act/WebShop-test":
        assert hidden > 0  # what the expert clicked was beyond the limit


def test_acting_and_judging_show_the_same_shortened_page() -> None:
    class Asking(ExpertAgent):
        def __init__(self) -> None:
            self.asked: list[list[Message]] = []

        def act(self, views):
            self.asked += [Question().messages(view) for view in views]
            return super().act(views)

    agent = Asking()
    (episode,) = play("act/WebShop-generated-seen", agent, tasks("act/WebShop-generated-seen")[:1])
    assert [Question().messages(view_of(step)) for step in steps_of(episode)] == agent.asked
    for step, (asked,) in zip(steps_of(episode), agent.asked, strict=True):
        state, _, _ = asked["content"].rpartition("\n\n")
        assert Question().judging(view_of(step), "a", "b")[0]["content"].startswith(state)
    assert any(len(turn.observation) > LIMIT for turn in episode.turns)


def test_names_longer_than_the_limit_are_all_shown() -> None:
    assert shorten(PAGE, 10, ["click[back to search]", "click[buy now]"]) == "Back to Search [SEP] Buy Now"


def test_the_longest_text_between_buttons_loses_most() -> None:
    page = f"Instruction: [SEP] {PAGE} [SEP] Price: $3"
    shown = shorten(page, 100, ["click[back to search]", "click[buy now]"])
    assert shown.startswith("Instruction: [SEP] Back to Search [SEP] long ")
    assert shown.endswith(" … [SEP] Buy Now [SEP] Price: $3")
    assert 90 < len(shown) <= 100


def test_other_texts_lose_their_end() -> None:
    assert shorten("word " * 9, 9, ["go to drawer 1", "look"]) == "word word …"
    assert shorten(PAGE, 24) == "Back to Search [SEP] lon …"  # what can be clicked is not known


@given(st.text(), st.integers(1, 60), st.lists(st.text(alphabet="ab <>[]", max_size=6)))
def test_any_text_is_shortened(text: str, limit: int, clicked: list[str]) -> None:
    text += " [SEP] " + " [SEP] ".join(clicked)
    commands = [f"click[{name.strip()}]" for name in clicked]
    shown = shorten(text, limit, commands)
    assert len(shown) <= max(limit + 2, sum(len(name) + 7 for name in clicked) + 7 * text.count("[SEP]"))
    assert shown == text.strip() or len(text.strip()) > limit
