"""Episodes that the model plays: its conversation, tokens as sampled, how episodes end, and branch points."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import pytest

from act_gym.agent import AgentInput
from act_gym.benchmarks import tasks
from act_gym.errors import EngineError
from act_gym.rollout import Job, play_jobs
from agents.local.agent import LocalAgent, LocalSettings
from tests.trainers.rollouts.conftest import ENV, LIMITS, QUESTION, starts
from trainers.rollouts.collect import Collector
from trainers.rollouts.records import Point, Rollout, Start


def played(rollouts: list[Rollout]) -> list[list[str]]:
    return [[turn.response for turn in one.turns] for one in rollouts]


def test_what_is_read_is_the_conversation_of_an_evaluation(policy: Any, rollouts: list[Rollout]) -> None:
    for one in rollouts:
        for turn, reply in zip(one.turns, one.replies, strict=True):
            place = one.turns.index(turn)
            view = AgentInput(
                task=one.start.task, goal=one.goal, observation=turn.observation, history=one.turns[:place]
            )
            assert policy.prompt_ids(QUESTION.conversation(view)) == list(one.tokens[: reply.after])
        whole = AgentInput(task=one.start.task, goal=one.goal, observation=one.final_observation, history=one.turns)
        assert policy.prompt_ids(QUESTION.conversation(whole)) == list(one.tokens)


def test_the_agent_of_an_evaluation_plays_the_same(policy: Any, rollouts: list[Rollout]) -> None:
    """Sampled at the same temperature with the same seeds, up to where a stop text ends the agent's reply."""
    settings = LocalSettings(history="conversation", temperature=1.0, max_new_tokens=LIMITS.reply, window=3)
    jobs = [Job(one.start.env_id, one.start.task, one.start.seed) for one in rollouts]
    agent = LocalAgent(settings, policy=policy)
    episodes = {
        (episode.task.id, episode.seed): episode
        for episode in play_jobs(jobs, agent, num_envs=6, env_options={"max_episode_steps": 1})
    }
    for one in rollouts:
        first = episodes[one.start.task.id, one.start.seed].turns[0]
        assert one.turns[0].response.startswith(first.response)
        assert one.turns[0].prompt_hash == first.prompt_hash


def test_rooms_and_inventories_are_read_as_in_an_evaluation(policy: Any) -> None:
    env_id = "act/ScienceWorld-train-seen"
    start = Start(env_id=env_id, task=tasks(env_id)[0], seed=3, group=0)
    collector = Collector(policy, QUESTION, replace(LIMITS, turns=2), parallel=1)
    (one,) = collector.play([start])
    collector.close()
    settings = LocalSettings(history="conversation", temperature=1.0, max_new_tokens=LIMITS.reply)
    agent = LocalAgent(settings, policy=policy)
    (episode,) = play_jobs([Job(env_id, start.task, 3)], agent, env_options={"max_episode_steps": 1})
    assert one.turns[0].observed == episode.turns[0].observed
    assert one.turns[0].observed.keys() == {"look", "inventory"}
    assert one.turns[0].prompt_hash == episode.turns[0].prompt_hash
    whole = AgentInput(task=start.task, goal=one.goal, observation=one.turns[1].observation, history=one.turns[:1])
    asked = policy.prompt_ids(QUESTION.conversation(replace(whole, observed=one.turns[1].observed)))
    assert asked == list(one.tokens[: one.replies[1].after])


def test_episodes_do_not_depend_on_their_neighbours(policy: Any, rollouts: list[Rollout]) -> None:
    alone = Collector(policy, QUESTION, LIMITS, parallel=1)
    assert played(alone.play(starts())[:2]) == played(rollouts[:2])
    alone.close()


def test_observations_are_where_they_were_read(policy: Any, rollouts: list[Rollout]) -> None:
    for one in rollouts:
        assert len(one.observed) == len(one.turns)
        for (start, stop), turn in zip(one.observed, one.turns[1:], strict=False):
            assert turn.observation.strip() in policy.tokenizer.decode(one.tokens[start:stop])


def test_an_episode_is_cut_by_turns_or_by_tokens(policy: Any, rollouts: list[Rollout]) -> None:
    assert {(one.stop, one.cut) for one in rollouts} == {("truncated", "turns")}
    room = rollouts[0].replies[1].after + LIMITS.reply
    collector = Collector(policy, QUESTION, replace(LIMITS, tokens=room), parallel=1)
    (short,) = collector.play(starts()[:1])
    collector.close()
    assert (short.stop, short.cut, len(short.turns)) == ("truncated", "tokens", 2)


def test_a_conversation_is_read_once(policy: Any) -> None:
    """Guessed tokens of replies and replies that the conversation does not repeat are read on top of it."""
    collector = Collector(policy, QUESTION, LIMITS, parallel=2)
    found = collector.play(starts()[:2])
    collector.close()
    read = collector.read_tokens / sum(len(one.tokens) for one in found)
    assert 0.9 < read < 1.1
    assert collector.env_seconds > 0


class Broken(gym.Wrapper):  # type: ignore[type-arg]
    """An environment whose simulator fails at the second command of every other episode."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.count = 0

    def reset(self, **settings: Any) -> Any:
        self.count = 0
        return super().reset(**settings)

    def step(self, action: Any) -> Any:
        self.count += 1
        if self.count == 2:
            raise EngineError("the simulator died")
        return super().step(action)


def test_a_failing_simulator_ends_its_own_episode(policy: Any, rollouts: list[Rollout]) -> None:
    class Failing(Collector):
        made = 0

        def make(self, env_id: str) -> Any:
            Failing.made += 1
            env = super().make(env_id)
            return Broken(env) if Failing.made == 1 else env

    collector = Failing(policy, QUESTION, LIMITS, parallel=1)
    found = collector.play(starts()[:3])
    collector.close()
    assert [one.stop for one in found] == ["env_error", "truncated", "truncated"]
    assert found[0].error == "the simulator died"
    assert len(found[0].turns) == len(found[0].replies) == 1
    assert played(found[1:]) == played(rollouts[1:3])


def test_a_continuation_begins_in_the_state_of_its_point(policy: Any, rollouts: list[Rollout]) -> None:
    root = rollouts[0]
    collector = Collector(policy, QUESTION, LIMITS, parallel=2, keep_snapshots=True)
    same, other = collector.play(
        [Start(env_id=ENV, task=root.start.task, seed=seed, point=Point(root, 2)) for seed in (root.start.seed, 12345)]
    )
    collector.close()
    assert played([same]) == played([root])
    assert same.states == root.states
    assert [reply.tokens for reply in same.replies] == [reply.tokens for reply in root.replies[2:]]
    assert other.first == 2
    assert other.tokens[: other.replies[0].after] == root.tokens[: root.replies[2].after]
    assert other.turns[:2] == root.turns[:2]
    assert len(other.turns) == LIMITS.turns
    assert [reply.tokens for reply in other.replies] != [reply.tokens for reply in root.replies[2:]]


@pytest.mark.parametrize("plan", [True, False])
def test_a_planner_is_asked_only_where_it_is_wanted(policy: Any, plan: bool) -> None:
    collector = Collector(policy, QUESTION, replace(LIMITS, turns=2), parallel=1, plan=plan)
    (one,) = collector.play(starts()[:1])
    collector.close()
    assert len(one.plans) == (3 if plan else 0)
    assert all(length > 0 for length in one.plans)
