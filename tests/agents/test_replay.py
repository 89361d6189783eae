import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym import tasks
from act_gym.errors import AgentError, UsageError
from act_gym.io.jsonl import RecordWriter
from act_gym.rollout import play
from act_gym.types import Episode
from agents.baselines import RandomAgent
from agents.registry import make_agent
from agents.replay import first_difference

ENV = "act/ALFWorld-generated-seen"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A file with two random episodes of four turns, and the episodes."""
    episodes = list(play(ENV, RandomAgent(), tasks(ENV)[:2], seed=3, env_options={"max_episode_steps": 4}))
    path = tmp_path_factory.mktemp("recorded") / "episodes.jsonl"
    return write(path, episodes), episodes


def write(path, episodes):
    with RecordWriter(path) as writer:
        for episode in episodes:
            writer.write(episode.to_json())
    return path


def again(path, **options):
    agent = make_agent(f"replay:episodes={path}")
    chosen = tasks(ENV)[:2]
    return list(play(ENV, agent, chosen, seed=3, env_options={"max_episode_steps": 4, **options}))


def test_a_recording_that_is_played_again_is_the_same_but_for_its_name_and_time(recorded):
    path, episodes = recorded

    def timeless(episode):
        turns = tuple(replace(turn, seconds=0.0) for turn in episode.turns)
        return replace(episode, agent="", turns=turns)

    replayed = again(path)
    assert {episode.agent for episode in replayed} == {"replay:random"}
    assert list(map(timeless, replayed)) == list(map(timeless, episodes))


def test_an_environment_that_shows_something_else_is_told_with_turn_and_character(recorded, tmp_path):
    _, (first, second) = recorded
    turn = first.turns[2]
    changed = replace(turn, observation=turn.observation[:5] + "#" + turn.observation[6:])
    turns = (*first.turns[:2], changed, *first.turns[3:])
    path = write(tmp_path / "changed.jsonl", [replace(first, turns=turns), second])
    broken, whole = again(path)
    assert (broken.stop, len(broken.turns)) == ("agent_error", 2)
    assert "turn 3 shows something else than was recorded, from character 6 on" in broken.error
    assert whole.stop == "truncated"


def test_what_was_not_recorded_is_an_error_of_its_episode(recorded, tmp_path):
    _, (first, second) = recorded
    path = write(
        tmp_path / "short.jsonl", [replace(first, turns=first.turns[:2], final_observation=first.turns[2].observation)]
    )
    short, absent = again(path)
    assert "ends after 2 turns" in short.error
    assert f"no episode of {second.task.id} with seed 3" in absent.error


def test_episodes_of_several_seeds_are_told_apart(recorded, tmp_path, make_view):
    _, (first, _) = recorded
    turn = replace(first.turns[0], observation="seen", action="other", response="other")
    other = replace(first, seed=4, turns=(turn,))
    agent = make_agent(f"replay:episodes={write(tmp_path / 'two.jsonl', [first, other])}")
    view = replace(make_view(), task=first.task, observation="seen", seed=4)
    assert agent.act([view])[0].action == "other"
    with pytest.raises(AgentError, match="seed 5"):
        agent.act([replace(view, seed=5)])


@pytest.mark.parametrize("content", [None, ""])
def test_a_file_without_episodes_is_refused(tmp_path, content):
    path = tmp_path / "episodes.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match="episodes"):
        make_agent(f"replay:episodes={path}")


@given(st.text(), st.text())
def test_texts_differ_or_are_the_same(recorded, shown):
    difference = first_difference(recorded, shown)
    assert (difference == "") == (recorded == shown)
    assert len(difference) < 2 * 8 * 60 + 100


def test_an_episode_survives_its_file(recorded):
    path, episodes = recorded
    lines = path.read_text().splitlines()
    assert [Episode.from_json(json.loads(line)) for line in lines] == episodes


def test_a_manifest_says_which_recording_was_played(recorded):
    path, _ = recorded
    agent = make_agent(f"replay:episodes={path}")
    assert agent.facts == {"episodes_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
