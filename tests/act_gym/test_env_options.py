"""What `info` shows besides, and the step limits that go by a name."""

from dataclasses import replace

import gymnasium as gym
import pytest

from act_gym import TextEnv
from act_gym.benchmarks import BENCHMARKS, benchmark
from act_gym.errors import UnknownNameError, UsageError


@pytest.fixture
def limited(counting, monkeypatch):
    """The counting game, whose registered limit is 20, with three limits of a name."""
    entry = replace(benchmark("Counting"), step_limits={"three": 3, "typed": {"short": 2, "long": 30}, "half": {}})
    monkeypatch.setattr("act_gym.benchmarks.BENCHMARKS", {**BENCHMARKS, "Counting": entry})
    return counting


def ends(env, task_id, *, most=40):
    """Whether each step of an episode was cut, up to the one that was."""
    env.reset(options={"task_id": task_id})
    cuts = []
    while not any(cuts) and len(cuts) < most:
        *_, terminated, truncated, info = env.step("dance")
        cuts.append(truncated)
        assert not terminated
        assert info["turn"] == len(cuts)
    return cuts


def test_a_named_limit_cuts_exactly_there(limited):
    env = gym.make("act/Counting", step_limit="three", max_episode_steps=-1)
    for _ in range(2):
        assert ends(env, "counting/long/8") == [False, False, True]
    env.close()


def test_a_limit_may_differ_by_the_type_of_task(limited):
    env = gym.make("act/Counting", step_limit="typed", max_episode_steps=-1)
    assert len(ends(env, "counting/short/2")) == 2
    assert len(ends(env, "counting/long/8")) == 30
    assert len(ends(env, "counting/short/2")) == 2
    env.close()


def test_a_type_that_a_limit_does_not_name_keeps_the_benchmarks_own(limited):
    env = gym.make("act/Counting", step_limit="half", max_episode_steps=-1)
    assert len(ends(env, "counting/long/8")) == 20
    env.close()


def test_an_episode_that_is_won_at_its_limit_says_both(limited):
    env = gym.make("act/Counting", step_limit="typed", max_episode_steps=-1)
    env.reset(options={"task_id": "counting/short/1"})
    assert env.step("add")[2:4] == (False, False)
    *_, terminated, truncated, info = env.step("say")
    assert (terminated, truncated, info["success"]) == (True, True, True)
    env.close()


def test_gymnasiums_own_limit_is_not_allowed_to_come_first(limited):
    with pytest.raises(UsageError, match=r"after 20 steps.* up to 30\. Pass max_episode_steps=-1 to gym\.make"):
        gym.make("act/Counting", step_limit="typed")
    with pytest.raises(UsageError, match="max_episode_steps=-1"):
        gym.make_vec("act/Counting", num_envs=2, vectorization_mode="sync", step_limit="typed")
    assert limited.running == 0
    env = gym.make("act/Counting", step_limit="typed", max_episode_steps=30)
    assert len(ends(gym.make(env.spec), "counting/long/8")) == 30
    with pytest.raises(UsageError, match=r"after 29 steps"):
        gym.make("act/Counting", step_limit="typed", max_episode_steps=29)
    env.close()


def test_gymnasiums_own_limit_is_no_matter_where_it_comes_later(limited):
    for options in ({"step_limit": "three"}, {"step_limit": "typed", "max_episode_steps": 30}):
        env = gym.make("act/Counting", **options)
        assert len(ends(env, "counting/long/8")) == (3 if options["step_limit"] == "three" else 30)
        env.close()


def test_without_gymnasium_around_it_a_named_limit_holds_too(limited):
    env = TextEnv("Counting", step_limit="three")
    assert len(ends(env, "counting/long/8")) == 3
    env.close()


def test_an_unknown_limit_is_refused_and_leaves_nothing_running(limited):
    with pytest.raises(UnknownNameError, match=r"No step limit of Counting tree\. Did you mean three"):
        TextEnv("Counting", step_limit="tree")
    assert limited.running == 0


@pytest.mark.parametrize(
    ("name", "limit", "task_type", "steps"),
    [
        ("ALFWorld", "verl-agent", "pick_and_place_simple", 50),
        ("ALFWorld", "eto", "pick_and_place_simple", 40),
        ("ALFWorld", "agentboard", "pick_and_place_simple", 30),
        ("ScienceWorld", "scienceworld", "boil", 100),
        ("ScienceWorld", "swiftsage", "boil", 300),
        ("ScienceWorld", "eto", "boil", 100),
        ("ScienceWorld", "eto", "measure-melting-point-known-substance", 120),
        ("ScienceWorld", "eto", "lifespan-longest-lived", 10),
        ("ScienceWorld", "eto", "inclined-plane-determine-angle", 100),
    ],
)
def test_the_limits_of_the_literature(name, limit, task_type, steps):
    assert benchmark(name).step_limit(limit, task_type) == steps


def test_every_task_type_that_a_limit_names_is_one_of_the_benchmarks():
    tables = [
        (entry, limit) for entry in BENCHMARKS.values() for limit in entry.step_limits.values() if type(limit) is dict
    ]
    assert tables
    for entry, limit in tables:
        assert set(limit) <= {task.task_type for task in entry.tasks()}


@pytest.fixture
def showing(counting, monkeypatch):
    """The counting game on an engine that has patterns and free texts."""

    def action_templates(self):
        return ("add", "say OBJ")

    def objects(self):
        return ("it",)

    def observe(self, name):
        return f"{name}: {self._count}"

    for made in (action_templates, objects, observe):
        monkeypatch.setattr(counting, made.__name__, made, raising=False)
    monkeypatch.setattr(counting, "observable", ("look", "inventory"), raising=False)
    return counting


def test_patterns_come_instead_of_commands(showing):
    env = TextEnv("Counting", admissible_commands="templates")
    _, first = env.reset(options={"task_id": "counting/short/1"})
    *_, last = env.step("say")
    assert list(first) == list(last)
    assert (first["admissible_commands"], first["action_templates"], first["objects"]) == (
        (),
        ("add", "say OBJ"),
        ("it",),
    )
    assert (last["admissible_commands"], last["action_templates"], last["objects"]) == ((), (), ())
    env.close()


def test_texts_are_shown_only_if_wanted_and_after_every_step(showing):
    env = TextEnv("Counting", observe=["inventory"])
    _, first = env.reset(options={"task_id": "counting/short/2"})
    *_, after = env.step("add")
    *_, last = env.step("say")
    assert [info["inventory"] for info in (first, after, last)] == ["inventory: 0", "inventory: 1", "inventory: 1"]
    assert list(first) == list(after) == list(last)
    assert "look" not in first
    env.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"admissible_commands": "patterns"}, r"True, False or 'templates'; got 'patterns'"),
        ({"admissible_commands": "templates"}, "CountingEngine has no command templates"),
        ({"observe": ["look"]}, r"CountingEngine has no texts but its observations.*observe='look'"),
    ],
)
def test_what_an_engine_cannot_show_is_refused_and_leaves_nothing_running(counting, options, message):
    with pytest.raises(UsageError, match=message):
        TextEnv("Counting", **options)
    assert counting.running == 0


def test_a_text_that_an_engine_does_not_have_is_refused(showing):
    with pytest.raises(UnknownNameError, match=r"No text to observe of CountingEngine lok\. Did you mean look"):
        TextEnv("Counting", observe=["inventory", "lok"])
    assert showing.running == 0
