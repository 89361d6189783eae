"""The scripted expert: in the corner shop, and on the real goals."""

from dataclasses import replace

import numpy as np
import pytest

from act_gym import TextEnv, tasks
from act_gym.engines.webshop.engine import WebShopEngine
from act_gym.engines.webshop.expert import go_on, solve
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


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("search[shirt]",), ("click[b000shirt0]", "click[black]", "click[large]")),
        (("search[shirt]", "click[b000shirt0]"), ("click[black]", "click[large]")),
        (("search[shirt]", "click[b000shirt0]", "click[large]"), ("click[black]",)),
        (("search[shirt]", "click[b000shirt0]", "click[small]", "click[black]"), ("click[large]",)),
        (("search[shirt]", "click[b000shirt0]", "click[features]"), ("click[< prev]", "click[black]", "click[large]")),
        (
            ("search[cup shirt]", "click[next >]"),
            ("click[< prev]", "click[b000shirt0]", "click[black]", "click[large]"),
        ),
    ],
)
def test_it_goes_on_from_where_the_customer_is(visitor, walk, before, after):
    session = visitor(SHIRT.asin, size="large", color="black")
    commands = go_on(session, walk(session, *before))
    assert commands == (*after, "click[buy now]")
    assert walk(session, *before, *commands).score.reward == 1.0


@pytest.mark.parametrize(
    "before", [("search[cup]", "click[b00000cup1]"), ("search[tea]",), ("search[search_results]",)]
)
def test_it_begins_again_where_it_has_lost_its_way(visitor, walk, before):
    session = visitor(SHIRT.asin, size="large", color="black")
    commands = go_on(session, walk(session, *before))
    assert commands == ("click[back to search]", *solve(session))
    assert walk(session, *before, *commands).score.reward == 1.0


def test_after_the_purchase_there_is_nothing_left_to_do_or_to_mend(visitor, walk):
    session = visitor(SHIRT.asin, size="large", color="black")
    assert go_on(session, session.start()) == solve(session)
    assert go_on(session, walk(session, *solve(session))) == ()
    with pytest.raises(EngineError, match=r"worth 0\.600"):
        go_on(session, walk(session, "search[shirt]", "click[b000shirt0]", "click[buy now]"))


def test_it_plans_after_any_actions_in_the_real_shop(webshop_data):
    random = np.random.default_rng(8)
    env = TextEnv("WebShop", "seen")
    won = 0
    for index in range(0, len(env.tasks), 25):
        _, info = env.reset(options={"task_index": index})
        for _ in range(int(random.integers(8))):
            offered = [each for each in info["admissible_commands"] if each != "click[buy now]"]
            command = str(random.choice(offered)).replace("<query>", info["goal"])
            info = env.step(command)[4]
        try:
            commands = env.plan()
        except EngineError:
            continue
        for command in commands:
            assert command in info["admissible_commands"] or command.startswith("search[")
            info = env.step(command)[4]
        assert info["success"]
        won += 1
    assert won >= 13


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
