"""Mistakes on purpose: the game does not accept them, and they are the same again."""

from __future__ import annotations

import pytest

from act_gym.benchmarks import tasks
from act_gym.errors import UsageError
from act_gym.rollout import play
from act_gym.types import Episode
from agents.baselines import RandomAgent
from agents.mixture import MistakenAgent, MixtureAgent
from agents.search_expert import SearchExpert

ENVS = ("act/ALFWorld-generated-seen", "act/WebShop-generated-seen")


def played(env: str, agent: object) -> list[Episode]:
    episodes = play(env, agent, tasks(env)[:4], num_envs=2, env_options={"max_episode_steps": 20})
    return sorted(episodes, key=lambda episode: episode.task.id)


@pytest.mark.parametrize("env", ENVS)
def test_mistakes_are_not_admissible_and_change_nothing(env: str) -> None:
    turns = [turn for episode in played(env, MistakenAgent(1.0)) for turn in episode.turns]
    assert all(turn.action and turn.action not in turn.admissible_commands for turn in turns)
    assert len({turn.action for turn in turns}) > len(turns) // 8


def test_the_game_says_that_nothing_happens_after_a_mistake() -> None:
    for episode in played(ENVS[0], MistakenAgent(1.0)):
        assert {turn.observation for turn in episode.turns[1:]} == {"Nothing happens."}


def test_the_same_seed_makes_the_same_mistakes() -> None:
    first, second = (played(ENVS[0], MistakenAgent(0.5)) for _ in range(2))
    assert [[turn.action for turn in one.turns] for one in first] == [
        [turn.action for turn in one.turns] for one in second
    ]


def test_without_mistakes_it_is_the_random_agent() -> None:
    found, expected = (played(ENVS[0], agent) for agent in (MistakenAgent(0.0), RandomAgent()))
    assert [[turn.action for turn in one.turns] for one in found] == [
        [turn.action for turn in one.turns] for one in expected
    ]


def test_the_expert_says_how_to_go_on_after_a_mistake() -> None:
    agent = MixtureAgent(SearchExpert(), MistakenAgent(0.5), 0.6)
    turns = [turn for episode in played(ENVS[0], agent) for turn in episode.turns]
    after = [turn for turn in turns if turn.observation == "Nothing happens."]
    assert after
    assert all(turn.label in turn.admissible_commands for turn in after)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_outside_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="0 to 1"):
        MistakenAgent(share)
