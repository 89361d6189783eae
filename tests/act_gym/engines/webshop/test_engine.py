"""The engine in its environment, in a generated shop: nothing to download."""

import gymnasium as gym
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import act_gym
from act_gym import EngineError, MissingDataError, Task, TextEnv, UnknownNameError, UsageError
from act_gym.engines.webshop.engine import SEARCH_TEMPLATE, WebShopEngine
from act_gym.engines.webshop.shop_cache import shared_shop

CATALOGUE = "generated-300"


@pytest.fixture(scope="module", autouse=True)
def own_data(tmp_path_factory):
    """Generated shops are kept where other tests do not look."""
    patch = pytest.MonkeyPatch()
    patch.setenv("ACT_GYM_DATA", str(tmp_path_factory.mktemp("data")))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def env(own_data):
    made = TextEnv("WebShop", catalogue=CATALOGUE)
    yield made
    made.close()


class Backwards:
    """Finds everything, the last product first."""

    def __init__(self, products):
        self._count = len(products)

    def search(self, query, limit=50):
        return range(self._count - 1, max(self._count - 1 - limit, -1), -1)


def first_item(env, **options):
    env.reset(options={"task_index": 0})
    info = env.step(f"search[{env.engine.goal}]")[4]
    link = info["available_actions"]["clickables"][2]
    return env.step(f"click[{link}]")


def test_an_episode_ends_with_the_purchase_and_its_reward(env):
    env.reset(options={"task_index": 1})
    for command in env.expert_commands():
        _, reward, terminated, truncated, info = env.step(command)
        assert info["action_valid"]
    assert (reward, terminated, truncated, info["success"], info["raw_score"]) == (1.0, True, False, True, 1.0)
    assert info["reward_info"]["r_att"] == info["reward_info"]["r_type"] == 1.0
    assert info["admissible_commands"] == ()
    with pytest.raises(UsageError, match="has ended"):
        env.step("click[back to search]")


def test_a_lesser_purchase_is_no_success(env):
    first_item(env)
    _, reward, terminated, _, info = env.step("click[buy now]")
    assert (terminated, info["success"]) == (True, reward == 1.0)
    assert 0 <= reward == info["score"] == info["raw_score"] <= 1


def test_info_has_webshops_own_actions_and_the_houses(env):
    info = env.reset(options={"task_index": 0})[1]
    assert info["available_actions"] == {"has_search_bar": True, "clickables": ["search"]}
    assert info["admissible_commands"] == (SEARCH_TEMPLATE,)
    assert info["reward_info"] == {}
    info = first_item(env)[4]
    names = info["available_actions"]["clickables"]
    assert names[:6] == ["back to search", "< prev", "description", "features", "reviews", "buy now"]
    assert info["admissible_commands"] == tuple(sorted(f"click[{name}]" for name in names))


def test_what_is_not_available_is_data(env):
    before, _, _, _, info = first_item(env)
    for action in ("dance", "click[no such thing]", "search[]", "click[search]", ""):
        observation, reward, terminated, _, after = env.step(action)
        assert (observation, reward, terminated, after["action_valid"]) == (before, 0.0, False, False)
        assert after["admissible_commands"] == info["admissible_commands"]


def test_every_admissible_click_is_carried_out(env):
    env.reset(options={"task_index": 2})
    info = env.step(f"search[{env.engine.goal}]")[4]
    for _ in range(3):
        moment = env.snapshot()
        for command in info["admissible_commands"]:
            env.restore(moment)
            assert env.step(command)[4]["action_valid"], command
        env.restore(moment)
        info = env.step(info["admissible_commands"][len(info["admissible_commands"]) // 2])[4]


def test_a_snapshot_is_gone_back_to_and_taken_over_by_another_environment(env):
    first_item(env)
    moment = env.snapshot()
    played = env.step("click[features]")
    env.step("click[back to search]")
    env.restore(moment)
    assert env.step("click[features]") == played
    other = TextEnv("WebShop", catalogue=CATALOGUE)
    other.restore(moment)
    assert other.step("click[features]") == played


@pytest.mark.parametrize("mode", ["text", "text_rich", "html", "url"])
def test_modes_show_the_same_visit_each_in_its_way(mode):
    env = TextEnv("WebShop", catalogue=CATALOGUE, observation_mode=mode, show_attrs=True)
    observation, info = env.reset(options={"task_index": 0})
    start = {
        "text": "WebShop [SEP] Instruction: [SEP] ",
        "text_rich": "WebShop\nInstruction: \n",
        "html": "<!DOCTYPE html>",
        "url": "http://127.0.0.1:3000/0",
    }
    assert observation.startswith(start[mode])
    plain = TextEnv("WebShop", catalogue=CATALOGUE, show_attrs=True)
    assert plain.reset(options={"task_index": 0})[1] == info
    assert first_item(env)[1:] == first_item(plain)[1:]
    assert "attributes" in env.step("click[x]")[4]["available_actions"]["clickables"]


def test_an_unknown_mode_is_refused():
    with pytest.raises(UnknownNameError, match=r"No observation mode of WebShop txt\. Did you mean text"):
        TextEnv("WebShop", observation_mode="txt")


@pytest.mark.parametrize("given", [Backwards, f"{__name__}:Backwards"])
def test_another_search_engine_can_be_plugged_in(given):
    if isinstance(given, str):
        pytest.importorskip(given.partition(":")[0])
    env = TextEnv("WebShop", catalogue=CATALOGUE, search_engine=given)
    observation, _ = env.reset(options={"task_index": 0})
    observation = env.step("search[anything]")[0]
    products = shared_shop(CATALOGUE).products
    assert products.product(len(products) - 1).asin in observation
    assert env.engine.versions["search"].endswith(":Backwards")


def test_a_search_engine_may_be_an_object():
    products = shared_shop(CATALOGUE).products
    engine = WebShopEngine(catalogue=CATALOGUE, search_engine=Backwards(products))
    engine.reset(act_gym.tasks("act/WebShop", catalogue=CATALOGUE)[0])
    assert "Page 1 (Total results: 50)" in engine.step("search[anything]").observation


@pytest.mark.parametrize("given", ["no_such_module:Search", "json:Search", "json:JSONDecodeError", 3])
def test_what_cannot_search_is_refused(given):
    engine = WebShopEngine(catalogue=CATALOGUE, search_engine=given)
    with pytest.raises(UsageError, match="search_engine="):
        engine.reset(act_gym.tasks("act/WebShop", catalogue=CATALOGUE)[0])


@pytest.mark.parametrize("found", [[0, 10**6], [-1], ["B000000000"], 7])
def test_a_search_engine_that_finds_what_is_not_there_ends_the_episode(found):
    class Wrong:
        def search(self, query, limit=50):
            return found

    engine = WebShopEngine(catalogue=CATALOGUE, search_engine=Wrong())
    engine.reset(act_gym.tasks("act/WebShop", catalogue=CATALOGUE)[0])
    with pytest.raises(EngineError, match=r"Wrong.* found"):
        engine.step("search[anything]")


def test_prices_can_be_given(env):
    limit = TextEnv("WebShop", catalogue=CATALOGUE, prices={"limits": {"0": 990.0}})
    assert limit.reset(options={"task_index": 0})[1]["goal"].endswith(", and price lower than 990.00 dollars")
    assert limit.engine.versions["prices"].startswith("given, sha256 ")
    assert env.engine.versions["prices"] == "drawn"


def test_generated_splits_need_no_option_and_no_download():
    env = gym.make("act/WebShop-generated-unseen")
    observation, info = env.reset(seed=1)
    assert info["goal"] in observation
    assert env.unwrapped.engine.versions["catalogue"] == "generated"
    for command in env.unwrapped.expert_commands():
        info = env.step(command)[4]
    assert info["success"]


def test_a_spec_with_options_goes_through_json():
    env = gym.make("act/WebShop-unseen", catalogue=CATALOGUE, observation_mode="html")
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert env.reset(seed=3) == again.reset(seed=3)
    env.close()
    again.close()


def test_named_step_limits_are_those_of_others():
    env = gym.make("act/WebShop", catalogue=CATALOGUE, step_limit="eto", max_episode_steps=-1)
    env.reset(seed=0)
    assert [env.step("wait")[3] for _ in range(10)] == [False] * 9 + [True]


def test_without_its_catalogue_a_shop_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("ACT_GYM_DATA", str(tmp_path))
    env = gym.make("act/WebShop-test")
    with pytest.raises(MissingDataError, match="Run: act-gym download webshop"):
        env.reset()
    assert len(env.unwrapped.tasks) == 500


def test_a_goal_that_is_not_there_is_an_error(env):
    task = Task(id="webshop/x/9", benchmark="WebShop", split="", task_type="", payload={"goal": 10**6})
    with pytest.raises(EngineError, match="there is no goal 1000000"):
        env.engine.reset(task)


def test_before_a_reset_there_is_nothing_to_play():
    with pytest.raises(EngineError, match="Reset the environment first"):
        WebShopEngine(catalogue=CATALOGUE).step("search[x]")


@settings(max_examples=200)
@given(st.lists(st.one_of(st.text(max_size=20), st.integers(0, 30)), max_size=12), st.integers(0, 50))
def test_any_actions_keep_the_engine_going_and_repeat_to_the_byte(actions, index):
    """Text is said as it is or as a search; a number clicks on what the page offers there."""
    engine = WebShopEngine(catalogue=CATALOGUE)
    task = act_gym.tasks("act/WebShop", catalogue=CATALOGUE)[index]
    engine.reset(task)
    said, seen = [], []
    for action in actions:
        names = engine.admissible_commands()
        command = action if isinstance(action, str) else names[action % len(names)] if names else "x"
        said.append(command if len(said) % 2 else command.replace("<query>", "cream"))
        seen.append(engine.step(said[-1]))
        if seen[-1].terminated:
            break
    engine.reset(task)
    assert [engine.step(command) for command in said] == seen
