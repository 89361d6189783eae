"""The scripted expert: in the corner shop, and on the real goals."""

from dataclasses import replace

import pytest

from act_gym import tasks
from act_gym.engines.webshop.engine import WebShopEngine
from act_gym.engines.webshop.expert import solve
from act_gym.errors import EngineError
from tests.act_gym.engines.webshop.conftest import JACKET, SHIRT, TEA, WordSearch


def test_it_searches_as_a_customer_would_and_chooses_what_is_wanted(visitor, walk):
    session = visitor(SHIRT.asin, size="large", color="black")
    commands = solve(session)
    assert commands == (
        "search[machine wash pure cotton men's shirts]",
        "click[b000shirt0]",
        "click[black]",
        "click[large]",
        "click[buy now]",
    )
    assert walk(session, *commands).score.reward == 1.0


def test_without_options_it_buys_at_once(visitor):
    assert solve(visitor(TEA.asin))[1:] == ("click[b0000000te]", "click[buy now]")


def test_it_turns_pages_where_no_search_brings_the_product_to_the_first(visitor, search, walk, monkeypatch):
    inner = WordSearch.search
    monkeypatch.setattr(WordSearch, "search", lambda self, query, limit=50: [*range(3, 15), *inner(self, "tea", limit)])
    session = visitor(TEA.asin)
    commands = solve(session)
    assert commands[1:] == ("click[next >]", "click[b0000000te]", "click[buy now]")
    assert walk(session, *commands).score.reward == 1.0


def test_it_says_so_where_the_reward_cannot_be_had(visitor):
    with pytest.raises(EngineError, match=r"knows no purchase of B000SHIRT0 that is worth 1\.0 .*standard"):
        solve(visitor(SHIRT.asin, size="large", color="standard"))


def test_it_takes_another_value_where_the_wanted_one_acts_as_a_button(visitor):
    with pytest.raises(EngineError, match="knows no purchase"):
        solve(visitor(JACKET.asin, size="small", length="large", seen="buy now"))


def test_it_says_so_where_nothing_lists_the_product(visitor, monkeypatch):
    session = visitor(TEA.asin)
    monkeypatch.setattr(WordSearch, "search", lambda self, query, limit=50: [])
    with pytest.raises(EngineError, match="no search that lists B0000000TE"):
        solve(session)


def test_it_does_not_disturb_the_episode(webshop_data):
    engine = WebShopEngine()
    engine.reset(tasks("act/WebShop")[3])
    state = engine.step("search[shirt]")
    commands = engine.admissible_commands()
    assert engine.expert_commands() == engine.expert_commands()
    assert engine.admissible_commands() == commands
    assert engine.step("dance").observation == state.observation


def test_it_reaches_the_full_reward_on_nine_of_ten_real_goals(webshop_data):
    engine = WebShopEngine()
    won, reasons = 0, []
    chosen = tasks("act/WebShop")[::35]
    for task in chosen:
        state = engine.reset(task)
        try:
            commands = engine.expert_commands()
        except EngineError as error:
            reasons.append(str(error))
            continue
        for command in commands:
            assert command in engine.admissible_commands() or command.startswith("search[")
            state = engine.step(command)
        assert state.success, task.id
        won += 1
    assert won / len(chosen) >= 0.9
    assert all("knows no purchase" in reason for reason in reasons), "every product is found"


def test_a_goal_with_an_empty_title_can_still_be_searched_for(visitor):
    session = visitor(TEA.asin)
    session.goal = replace(session.goal, product=replace(TEA, nouns=()))
    assert solve(session)[-1] == "click[buy now]"
