"""A visit on the pages is an episode of the environment."""

import base64
import re
import threading
import zlib

import gymnasium as gym
import pytest

from act_gym.engines.webshop.engine import SEARCH_TEMPLATE
from act_gym.errors import EngineError
from act_gym.io.jsonl import read_records
from act_gym.types import Episode
from act_gym.webshop_site.sessions import LEFT
from benchmarks import report
from tests.act_gym.webshop_site.browser import Browser
from trainers.data.expert_steps import expert_steps


def saved(running, name="episodes.jsonl"):
    path = running.out / name
    return [Episode.from_json(record) for record in read_records(path)] if path.exists() else []


def expert(catalogue, goal, **options):
    env = gym.make("act/WebShop", catalogue=str(catalogue), **options)
    env.reset(options={"task_index": goal})
    return env.unwrapped.expert_commands()


def in_order(texts, page):
    """Whether a page has these texts in this order, among others."""
    left = iter(page)
    return all(text in left for text in texts)


WALK = (
    "search[black shoes]",
    "click[next >]",
    "click[< prev]",
    "FIRST",
    "click[description]",
    "click[< prev]",
    "click[features]",
    "click[< prev]",
    "click[reviews]",
    "click[< prev]",
    "click[attributes]",
    "click[< prev]",
    "OPTION",
    "click[back to search]",
    "search[black shoes]",
    "SECOND",
    "OPTION",
    "click[buy now]",
)


def resolved(step, clickables):
    """Return an action of the walk: `FIRST` is the first product listed, `OPTION` a value that is offered."""
    if step in ("FIRST", "SECOND"):
        return f"click[{[name for name in clickables if len(name) == 10 and name.isalnum()][step == 'SECOND']}]"
    known = ("back to search", "< prev", "description", "features", "reviews", "attributes", "buy now")
    return f"click[{next(name for name in clickables if name not in known)}]" if step == "OPTION" else step


def test_every_page_offers_and_says_what_the_environment_does_and_gives_its_reward(open_shop, stock):
    env = gym.make("act/WebShop", catalogue=str(stock), show_attrs=True, max_episode_steps=30)
    observation, info = env.reset(options={"task_index": 7})
    actions, rewards = [], []
    with open_shop(show_attrs=True, max_turns=30) as running:
        visitor = Browser(running.address).get("/fixed_7")
        for step in WALK:
            page, native = visitor.content, info["available_actions"]
            shown = [name.lower() for name in page.clickables]
            assert sorted(shown) == sorted(native["clickables"])
            assert any(found.get("id") == "search_input" for _, found in page.tags) == native["has_search_bar"]
            assert in_order(observation.split(" [SEP] "), page.texts)
            actions.append(resolved(step, native["clickables"]))
            visitor.do(actions[-1])
            observation, reward, terminated, _, info = env.step(actions[-1])
            rewards.append(reward)
        assert terminated
        (episode,) = saved(running)
    assert [turn.action for turn in episode.turns] == actions
    assert [turn.reward for turn in episode.turns] == rewards
    assert (episode.score, episode.final_observation) == (info["score"], observation)
    content = visitor.content
    assert float(content.under["reward"].removeprefix("Your score (min 0.0, max 1.0)")) == info["score"]
    for name, value in info["reward_info"].items():
        assert f"'{name}': {value}" in content.under["reward_info"]


def test_a_perfect_purchase_is_a_demonstration_that_trainers_and_the_report_take(open_shop, stock, tmp_path, capsys):
    commands = expert(stock, 3)
    with open_shop() as running:
        visitor = Browser(running.address).get("/fixed_3")
        for command in commands:
            visitor.do(command)
        (episode,) = saved(running)
        assert (episode.success, episode.score, episode.stop, episode.agent) == (True, 1.0, "terminated", "human")
        assert episode.task.payload == {"goal": 3}
        assert episode.turns[0].admissible_commands == (SEARCH_TEMPLATE,)
        assert episode.versions["catalogue"]
        decisions = list(expert_steps([running.out / "episodes.jsonl"]))
        assert [decision.expert_action for decision in decisions] == list(commands)
        assert Episode.from_json(episode.to_json()) == episode
        assert report.main([str(running.out), "--out", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    packed = [zlib.decompress(base64.b64decode(block)) for block in re.findall(r"(?<=>)eJ[\w+/]{40,}=*(?=<)", page)]
    assert any(commands[0].encode() in block for block in packed)
    assert "100.0" in capsys.readouterr().out


def test_a_second_perfect_purchase_of_a_task_is_kept_apart_because_trainers_take_one(open_shop, stock):
    commands = expert(stock, 3)
    with open_shop() as running:
        visitor = Browser(running.address)
        for _ in range(2):
            visitor.get("/fixed_3")
            for command in commands:
                visitor.do(command)
        assert len(saved(running)) == len(saved(running, "repeats.jsonl")) == 1
        list(expert_steps([running.out / "episodes.jsonl"]))
    with open_shop() as running:  # a new shop knows what the folder holds
        assert ">1.00<" in Browser(running.address).html
        assert running.customers.any_task().payload != {"goal": 3}


def test_visitors_at_once_have_an_episode_each(open_shop, stock):
    goals = [goal for goal in range(40) if can_be_bought(stock, goal)][:8]
    commands = {goal: expert(stock, goal) for goal in goals}
    with open_shop() as running:

        def shop(goal):
            visitor = Browser(running.address).post("/start", ("task", str(goal)))
            for command in commands[goal]:
                visitor.do(command)

        threads = [threading.Thread(target=shop, args=(goal,)) for goal in goals]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        episodes = saved(running)
    assert sorted(episode.task.payload["goal"] for episode in episodes) == goals
    for episode in episodes:
        assert tuple(turn.action for turn in episode.turns) == commands[episode.task.payload["goal"]]
        assert episode.success


def can_be_bought(stock, goal):
    try:
        return bool(expert(stock, goal))
    except EngineError:  # WebShop's reward cannot be had for some options
        return False


def test_what_comes_from_an_earlier_page_or_from_no_page_is_no_turn(open_shop):
    with open_shop() as running:
        visitor = Browser(running.address).get("/fixed_0").search("black for women")
        listed = visitor.content
        visitor.press("Next >")
        form = next(form for form in listed.forms if "Next >" in form.buttons)
        for again in (
            lambda: visitor.post(form.action, *form.hidden),
            lambda: visitor.get(next(iter(listed.links.values()))),
            lambda: visitor.get("/search_results/fixed_0/1"),
        ):
            assert "cannot be taken back" in again().html
            assert visitor.path.startswith("/search_results/fixed_0/2")
        assert "no such button" in visitor.post("/click/fixed_0/2", ("click", "buy now")).html
        assert "no such button" in visitor.post("/click/fixed_0/2").html
        assert "no such button" in visitor.post("/search/fixed_0/2", ("search_query", "here is no bar")).html
        assert "no such button" in visitor.post("/choose/fixed_0/2", ("x", "y")).html
        visitor.press("Back to Search")
        assert "Write what" in visitor.post("/search/fixed_0/3", ("search_query", " [] ")).html
        visitor.get("/fixed_0").search("two [brackets]\nand lines")
        visitor.press("Leave")
        (episode,) = saved(running)
    actions = [turn.action for turn in episode.turns]
    assert actions == [
        "search[black for women]",
        "click[next >]",
        "click[back to search]",
        "search[two brackets and lines]",
    ]
    assert all(turn.action_valid for turn in episode.turns)
    assert (episode.stop, episode.error, episode.success) == ("truncated", LEFT, False)


def test_the_step_limit_ends_a_visit_and_leaving_at_once_leaves_nothing(open_shop):
    with open_shop(max_turns=2) as running:
        visitor = Browser(running.address).get("/fixed_0").search("black for women")
        assert "1 of 2 actions left" in visitor.html
        visitor.press("Next >")
        assert "No actions left" in visitor.html
        assert visitor.content.under["reward"].endswith("0.0")
        (episode,) = saved(running)
        assert (episode.stop, episode.error) == ("truncated", "")
        assert "You have left" in visitor.get("/fixed_1").press("Leave").html
        visitor.press("Another task")
        visitor.search("tea")
        assert len(saved(running)) == 1
    assert [len(episode.turns) for episode in saved(running)] == [2, 1]  # who is inside when it closes has left
    with open_shop(step_limit="webshop-paper") as running:
        assert "100 of 100 actions left" in Browser(running.address).get("/fixed_0").html


def test_sessions_begin_as_on_webshops_own_site(open_shop):
    with open_shop() as running:
        visitor = Browser(running.address)
        assert "/stock/5<" in visitor.get("/me_fixed_5").html
        assert "/stock/" in visitor.get("/abcde").html
        task = visitor.content.under["instruction-text"]
        assert visitor.get("/abcde").content.under["instruction-text"] == task
        visitor.search("shoes").press("Leave")
        assert "Search..." in visitor.get("/abcde").html  # the name is free again
        assert "no such task" in visitor.get("/fixed_999999").html
        assert "no such task" in visitor.post("/start", ("task", "-1")).html
        for path in (
            "/start",
            "/robots.txt",
            "/nobody",
            "/done/nobody/3",
            "/a/b/c/d",
            "/search_results",
            "/%00",
            "/%C3%A9",
        ):
            assert visitor.get(path).status == 404
        assert visitor.post("/nothing").status == visitor.post("/leave/nobody").status == 404


@pytest.mark.parametrize("number", ["1", "2", "99999999", "-1", "x", "", "9" * 5000])
def test_the_list_of_tasks_has_pages(open_shop, number):
    with open_shop() as running:
        visitor = Browser(running.address).get(f"/?page={number}")
        assert visitor.status == 200
        assert f"{len(running.customers.tasks):,} customers" in visitor.html
        rows = sum(form.action == "/start" for form in visitor.content.forms) - 2
        assert 0 < rows <= 50
