"""The mixture of an expert and a player: who plays, what is labelled, in one call or as a stream."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from act_gym.agent import Agent, AgentAction, AgentInput
from act_gym.benchmarks import tasks
from act_gym.errors import AgentError, UsageError
from act_gym.rollout import play
from act_gym.types import Episode
from agents.baselines import RandomAgent
from agents.mixture import MixtureAgent
from agents.search_expert import SearchExpert

ENV = "act/ALFWorld-generated-seen"
TASKS = tasks(ENV)[:6]


class Alone:
    """The same agent without its stream."""

    def __init__(self, agent: Agent) -> None:
        self.name, self.act = agent.name, agent.act


class Helpless:
    """An expert that has no answer."""

    name = "helpless"

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        raise AgentError("There is no expert here.")


def played(agent: Agent, num_envs: int = 1) -> list[Episode]:
    episodes = play(ENV, agent, TASKS, num_envs=num_envs, env_options={"max_episode_steps": 30})
    return sorted(episodes, key=lambda episode: episode.task.id)


def actions(episodes: list[Episode]) -> list[list[tuple[str, str]]]:
    return [[(turn.action, turn.label) for turn in episode.turns] for episode in episodes]


def test_beta_is_the_share_of_turns_the_expert_plays() -> None:
    shares = {}
    for beta in (0.0, 0.5, 1.0):
        turns = [turn for one in played(MixtureAgent(SearchExpert(), RandomAgent(), beta)) for turn in one.turns]
        shares[beta] = sum(turn.action == turn.label for turn in turns) / len(turns)
    assert shares[1.0] == 1.0
    assert 0.3 < shares[0.5] < 0.75
    assert shares[0.0] < 0.3


def test_a_stream_plays_what_single_calls_play() -> None:
    agent = MixtureAgent(SearchExpert(), RandomAgent(), 0.5)
    assert actions(played(agent, 3)) == actions(played(Alone(agent))) == actions(played(agent))


def test_a_state_without_an_expert_has_no_label() -> None:
    episodes = played(MixtureAgent(Helpless(), RandomAgent(), 1.0))
    assert {turn.label for one in episodes for turn in one.turns} == {""}
    assert not any(one.error for one in episodes)


@pytest.mark.parametrize("beta", [-0.1, 1.1, float("nan")])
def test_a_share_outside_0_to_1_is_refused(beta: float) -> None:
    with pytest.raises(UsageError, match="0 to 1"):
        MixtureAgent(SearchExpert(), RandomAgent(), beta)
