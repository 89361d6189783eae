import gymnasium as gym
import pytest

from act_gym import TextEnv
from act_gym.errors import EngineError, UnknownNameError, UsageError

KEYS = [
    "task_id",
    "task_type",
    "split",
    "goal",
    "admissible_commands",
    "score",
    "raw_score",
    "success",
    "action_valid",
    "turn",
]


@pytest.fixture
def env(counting):
    made = TextEnv("Counting")
    yield made
    made.close()


def started(env, count, *, seed=None):
    """Task ids of `count` resets."""
    ids = []
    for number in range(count):
        _, info = env.reset(seed=seed if number == 0 else None)
        ids.append(info["task_id"])
    return ids


def test_a_sweep_plays_every_task_once_before_any_comes_again(env):
    ids = started(env, 24, seed=0)
    everything = {task.id for task in env.tasks}
    assert all(set(ids[start : start + 8]) == everything for start in (0, 8, 16))
    assert ids[:8] != ids[8:16]


def test_the_seed_decides_the_order_and_begins_a_new_sweep(env):
    first = started(env, 5, seed=7)
    assert started(env, 5, seed=7) == first
    assert started(env, 5, seed=8) != first


def test_a_chosen_task_leaves_the_sweep_where_it_is(env):
    plain = started(env, 4, seed=3)
    first = started(env, 2, seed=3)
    _, info = env.reset(options={"task_index": 0})
    assert info["task_id"] == env.tasks[0].id
    assert first + started(env, 2) == plain


def test_every_task_can_be_chosen_by_index_and_by_id(env):
    for index, task in enumerate(env.tasks):
        assert env.reset(options={"task_index": index})[1]["task_id"] == task.id
        assert env.reset(options={"task_id": task.id})[1]["task_id"] == task.id


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"task": 1}, "one at a time; got"),
        ({"task_id": "counting/short/1", "task_index": 0}, "one at a time; got"),
        ({"task_index": 8}, r"task_index is 0 to 7 here; got 8"),
        ({"task_index": -1}, r"task_index is 0 to 7 here; got -1"),
        ({"task_index": "0"}, r"task_index is 0 to 7 here; got '0'"),
        ({"task_index": True}, r"task_index is 0 to 7 here; got True"),
        ({"task_id": "counting/short/9"}, r"No task counting/short/9\. Did you mean"),
        ({"task_id": None}, r"No task None\."),
    ],
)
def test_options_that_name_no_task_are_refused_and_the_episode_plays_on(env, options, complaint):
    env.reset(options={"task_id": "counting/short/2"})
    env.step("add")
    with pytest.raises(UsageError, match=complaint):
        env.reset(options=options)
    _, _, _, _, info = env.step("add")
    assert (info["task_id"], info["turn"], info["raw_score"]) == ("counting/short/2", 2, 2)


def test_a_split_holds_only_its_tasks(counting):
    env = TextEnv("Counting", "odd")
    assert {task.id for task in env.tasks} == {
        f"counting/{kind}" for kind in ("short/1", "short/3", "long/5", "long/7")
    }
    with pytest.raises(UnknownNameError, match="No task counting/short/2"):
        env.reset(options={"task_id": "counting/short/2"})
    env.close()


def test_info_has_the_same_keys_from_reset_and_step(env):
    _, info = env.reset(options={"task_id": "counting/short/1"})
    assert list(info) == KEYS
    assert (info["turn"], info["score"], info["action_valid"], info["success"]) == (0, 0.0, True, False)
    assert (info["goal"], info["task_type"], info["split"]) == ("count to 1", "short", "odd")
    assert info["admissible_commands"] == ("add", "say")
    for action in ("add", "dance", "say"):
        *_, info = env.step(action)
        assert list(info) == KEYS
    assert (info["turn"], info["score"], info["success"], info["admissible_commands"]) == (3, 1.0, True, ())


def test_the_rewards_of_an_episode_add_up_to_its_score(env):
    env.reset(options={"task_id": "counting/long/5"})
    rewards = [env.step(action)[1] for action in ("add", "dance", "add", "say")]
    assert rewards == pytest.approx([1 / 6, 0, 1 / 6, 0])


def test_an_action_the_game_does_not_know_is_an_observation(env):
    env.reset(seed=0)
    for action in ("", "dance", "add\nsay", "漢字", "\ud800", "x" * 100_000):
        observation, reward, terminated, truncated, info = env.step(action)
        assert (observation, reward, terminated, truncated) == ("Nothing happens.", 0.0, False, False)
        assert info["action_valid"] is False


def test_an_episode_must_be_started_and_ends_once(env):
    with pytest.raises(UsageError, match=r"Call reset\(\) first"):
        env.step("add")
    with pytest.raises(UsageError, match=r"Call reset\(\) first"):
        env.expert_commands()
    env.reset(seed=0)
    assert env.step("say")[2] is True
    with pytest.raises(UsageError, match=r"has ended\. Call reset\(\)"):
        env.step("add")
    env.reset()
    assert env.step("add")[2] is False


def test_after_a_failed_reset_there_is_no_episode_to_play_on_with(counting):
    env = TextEnv("Counting", broken="counting/short/2")
    env.reset(options={"task_id": "counting/short/1"})
    with pytest.raises(EngineError, match="does not load"):
        env.reset(options={"task_id": "counting/short/2"})
    with pytest.raises(UsageError, match=r"Call reset\(\) first"):
        env.step("add")
    env.close()


def test_after_a_failed_step_there_is_no_episode_to_play_on_with(env):
    env.reset(options={"task_id": "counting/short/1"})
    with pytest.raises(EngineError, match="The counter broke"):
        env.step("crash")
    with pytest.raises(UsageError, match=r"Call reset\(\) first"):
        env.step("add")
    env.reset()
    assert env.step("add")[4]["turn"] == 1


def test_the_step_limit_truncates_and_is_not_the_games_end(counting):
    env = gym.make("act/Counting", max_episode_steps=3)
    env.reset(options={"task_id": "counting/long/8"})
    ends = [env.step("add")[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]
    env.close()


def test_the_expert_solves_every_task(env):
    for index in range(len(env.tasks)):
        env.reset(options={"task_index": index})
        for command in env.expert_commands():
            _, _, terminated, _, info = env.step(command)
        assert terminated
        assert info["success"]
        assert info["score"] == 1.0


def test_commands_are_listed_only_if_wanted(counting):
    env = TextEnv("Counting", admissible_commands=False)
    assert env.reset(seed=0)[1]["admissible_commands"] == ()
    assert env.step("add")[4]["admissible_commands"] == ()
    env.close()


def test_ansi_shows_the_last_exchange(counting):
    env = TextEnv("Counting", render_mode="ansi")
    assert env.render() == ""
    env.reset(seed=0)
    assert env.render() == "You have 0.\n"
    env.step("add")
    assert env.render() == "> add\nYou have 1.\n"
    env.close()


def test_human_prints_every_exchange_once(counting, capsys):
    env = TextEnv("Counting", render_mode="human")
    env.reset(seed=0)
    env.step("add")
    assert env.render() is None
    assert capsys.readouterr().out == "You have 0.\n> add\nYou have 1.\n"
    env.close()


def test_rendering_without_a_mode_warns(env):
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode='ansi' or 'human'"):
        assert env.render() is None


def test_unknown_names_are_refused_and_leave_nothing_running(counting):
    with pytest.raises(UnknownNameError, match="No render mode rgb_array"):
        TextEnv("Counting", render_mode="rgb_array")
    with pytest.raises(UnknownNameError, match=r"No benchmark Countin\. Did you mean Counting"):
        TextEnv("Countin")
    with pytest.raises(UnknownNameError, match=r"No split of Counting evn\. Did you mean even"):
        TextEnv("Counting", "evn")
    with pytest.raises(UnknownNameError, match=r"No engine of Counting fast\. Expected one of: plain"):
        TextEnv("Counting", engine="fast")
    with pytest.raises(UsageError, match=r"does not take \{'colour': 'red'\}"):
        TextEnv("Counting", colour="red")
    assert counting.running == 0


def test_closing_twice_is_harmless(env, counting):
    env.reset(seed=0)
    env.close()
    env.close()
    assert counting.running == 0
