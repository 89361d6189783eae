import io
import json
import sys
from dataclasses import replace

import gymnasium as gym
import pytest

from act_gym import TextEnv
from act_gym.benchmarks import BENCHMARKS, benchmark
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
        ({"task_id": None}, r"task_id is a string"),
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
    _, info = env.reset(seed=0)
    assert env.render() == f"Task: {info['goal']}\n\nYou have 0.\n"
    env.step("add")
    assert env.render() == "> add\nYou have 1.\n"
    env.close()


def test_human_prints_every_exchange_once(counting, capsys):
    env = TextEnv("Counting", render_mode="human")
    _, info = env.reset(seed=0)
    env.step("add")
    assert env.render() is None
    assert capsys.readouterr().out == f"Task: {info['goal']}\n\nYou have 0.\n> add\nYou have 1.\n"
    env.close()


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", "> é?"), ("ascii", "> ??")])
def test_printing_never_fails_on_a_character(counting, monkeypatch, encoding, shown):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", terminal)
    env = TextEnv("Counting", render_mode="human")
    env.reset(seed=0)
    assert env.step("é\ud800")[4]["turn"] == 1
    assert terminal.buffer.getvalue().decode(encoding).splitlines()[-2] == shown
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


@pytest.fixture
def remembering(counting, monkeypatch):
    """The counting game on an engine that can go back."""

    class RememberingEngine(counting):
        def snapshot(self):
            return self._count, self._target, self.goal

        def restore(self, snapshot):
            self._count, self._target, self.goal = snapshot
            return self._state("")

    monkeypatch.setattr(sys.modules["counting_game"], "CountingEngine", RememberingEngine)


def test_going_back_shows_the_same_and_what_follows_is_the_same_again(remembering):
    env = TextEnv("Counting", render_mode="ansi")
    env.reset(options={"task_id": "counting/short/2"})
    moment = env.step("add")
    drawn, saved = env.render(), env.snapshot()
    ends = [env.step(action) for action in ("add", "say")]
    assert ends[-1][4]["success"]
    for _ in range(2):
        assert env.restore(saved) == (moment[0], moment[4])
        assert env.render() == drawn
        assert [env.step(action) for action in ("add", "say")] == ends
    env.close()


def test_a_person_who_is_taken_back_reads_the_task_again(remembering, capsys):
    env = TextEnv("Counting", render_mode="human")
    env.reset(options={"task_id": "counting/short/2"})
    _, _, _, _, info = env.step("add")
    saved = env.snapshot()
    env.reset(options={"task_id": "counting/short/1"})
    capsys.readouterr()
    env.restore(saved)
    assert capsys.readouterr().out == f"Task: {info['goal']}\n\n> add\nYou have 1.\n"
    env.close()


def test_an_ended_episode_can_be_gone_back_to_and_is_still_ended(remembering):
    env = TextEnv("Counting")
    env.reset(options={"task_id": "counting/short/2"})
    *_, info = env.step("say")
    ended = env.snapshot()
    env.reset(options={"task_id": "counting/short/1"})
    assert env.restore(ended) == ("Said.", info)
    with pytest.raises(UsageError, match=r"counting/short/2 has ended"):
        env.step("add")
    env.close()


def test_a_moment_may_be_of_another_environment_and_task_and_leaves_the_sweep_alone(remembering):
    first, second = TextEnv("Counting"), TextEnv("Counting", "odd")
    first.reset(options={"task_id": "counting/long/8"})
    first.step("add")
    plain = started(second, 4, seed=5)
    begun = started(second, 2, seed=5)
    _, info = second.restore(first.snapshot())
    assert (info["task_id"], info["goal"], info["turn"]) == ("counting/long/8", "count to 8", 1)
    assert second.step("add")[0] == "You have 2."
    assert first.step("say")[0] == "Said."
    assert begun + started(second, 2) == plain
    first.close()
    second.close()


def test_the_step_limit_counts_on_after_going_back_and_can_be_left_out(remembering):
    for limit, truncated in ((3, True), (-1, False)):
        env = gym.make("act/Counting", max_episode_steps=limit)
        env.reset(options={"task_id": "counting/long/8"})
        saved = env.unwrapped.snapshot()
        env.step("add")
        env.step("add")
        env.unwrapped.restore(saved)
        *_, cut, info = env.step("add")
        assert (cut, info["turn"]) == (truncated, 1)
        env.close()


def test_going_back_is_refused_where_it_cannot_be_done(env, remembering):
    with pytest.raises(UsageError, match="CountingEngine cannot go back to a state"):
        env.snapshot()
    able = TextEnv("Counting")
    with pytest.raises(UsageError, match=r"Call reset\(\) first"):
        able.snapshot()
    able.reset(seed=0)
    saved = able.snapshot()
    with pytest.raises(UsageError, match="CountingEngine cannot go back"):
        env.restore(saved)
    foreign = replace(saved, task=replace(saved.task, benchmark="ALFWorld"))
    with pytest.raises(UsageError, match="A snapshot of ALFWorld cannot be restored in Counting"):
        able.restore(foreign)
    assert able.step("add")[4]["turn"] == 1
    able.close()


def test_a_benchmark_that_takes_games_of_ones_own_plays_them_and_no_split(counting, monkeypatch):
    def own(games):
        return tuple(task for task in benchmark("Counting").tasks() if task.payload["target"] in games)

    monkeypatch.setattr(sys.modules["counting_game"], "own", own, raising=False)
    entry = replace(benchmark("Counting"), own_task_source="counting_game:own")
    monkeypatch.setattr("act_gym.benchmarks.BENCHMARKS", {**BENCHMARKS, "Counting": entry})
    env = gym.make("act/Counting", games=[2, 7])
    assert [task.id for task in env.unwrapped.tasks] == ["counting/short/2", "counting/long/7"]
    assert json.loads(env.spec.to_json())["kwargs"]["games"] == [2, 7]
    env.close()
    with pytest.raises(UsageError, match=r"in no split; got split 'odd' too\. Make act/Counting with them"):
        TextEnv("Counting", "odd", games=[2])
    with pytest.raises(UsageError, match=r"ScienceWorld takes no games of your own; got games='folder'"):
        TextEnv("ScienceWorld", games="folder")
    assert counting.running == 0


@pytest.mark.parametrize("action", [["look"], ("look",), None, 3, b"look"])
def test_an_action_that_is_no_string_is_refused(action):
    env = gym.make("act/ALFWorld-generated-seen").unwrapped
    env.reset(seed=0)
    with pytest.raises(UsageError, match=f"as a string.* of type {type(action).__name__}"):
        env.step(action)
    assert env.step("look")[4]["turn"] == 1  # the episode is still there
    env.close()
