from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from zlib import crc32

import numpy as np
import pytest

from act_gym import AgentAction, AgentError, AgentInput, EngineError, UsageError, function_agent, play, tasks
from act_gym.engine import LazyTuple
from act_gym.rollout import Job, play_jobs
from agents.workers.processes import Guarded


def expert(view: AgentInput) -> str:
    return view.expert_commands()[len(view.history)]


def drawn(view: AgentInput) -> str:
    generator = np.random.default_rng([view.seed, crc32(view.task.id.encode()), len(view.history)])
    return str(generator.choice([*view.admissible_commands, "dance"]))


@dataclass
class Watched:
    """Plays as the expert does and remembers how many views it was shown at once."""

    name: str = "watched"
    sizes: list[int] = field(default_factory=list)

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        self.sizes.append(len(views))
        return [
            AgentAction(action=expert(view), response=f"I say {expert(view)}", completion_tokens=2) for view in views
        ]


def timeless(episode):
    return replace(episode, turns=tuple(replace(turn, seconds=0.0) for turn in episode.turns))


def test_every_task_gives_one_episode_in_order_with_one_environment(counting):
    episodes = list(play("act/Counting", function_agent("expert", expert)))
    assert [episode.task for episode in episodes] == list(tasks("act/Counting"))
    assert all(episode.success and episode.score == 1.0 and episode.stop == "terminated" for episode in episodes)
    assert all(len(episode.turns) == episode.task.payload["target"] + 1 for episode in episodes)
    assert counting.running == 0


def test_an_episode_tells_what_was_seen_and_done(counting):
    (episode,) = play("act/Counting", Watched(), tasks("act/Counting")[:1], seed=5)
    assert (episode.env_id, episode.agent, episode.seed, episode.goal) == ("act/Counting", "watched", 5, "count to 1")
    first, last = episode.turns
    assert (first.observation, first.action, first.score, first.reward) == ("You have 0.", "add", 0.5, 0.5)
    assert (last.observation, last.action, last.score, last.reward) == ("You have 1.", "say", 1.0, 0.5)
    assert (last.response, last.completion_tokens, last.admissible_commands) == ("I say say", 2, ("add", "say"))
    assert episode.final_observation == "Said."
    assert episode.versions == {"counting": "1"}
    assert all(turn.seconds > 0 for turn in episode.turns)


def test_every_turn_is_told_as_soon_as_it_was_played(counting):
    told = []
    jobs = [Job("act/Counting", task) for task in tasks("act/Counting")[:3]]
    for episode in play_jobs(jobs, function_agent("expert", expert), on_turn=told.append):
        assert told[-1] == episode.turns[-1]
    assert len(told) > len(jobs)


def test_episodes_of_several_seeds_stand_in_one_queue(counting):
    jobs = [Job("act/Counting", task, seed) for seed in (3, 4) for task in tasks("act/Counting")]
    episodes = list(play_jobs(iter(jobs), function_agent("drawn", drawn), num_envs=3))
    assert sorted((e.task.id, e.seed) for e in episodes) == sorted((job.task.id, job.seed) for job in jobs)
    for episode in episodes:
        (alone,) = play("act/Counting", function_agent("drawn", drawn), [episode.task], seed=episode.seed)
        assert timeless(alone) == timeless(episode)
    assert counting.running == 0


class Unhurried:
    """Answers one of those that asked, the one that asked last."""

    name = "unhurried"

    def __init__(self) -> None:
        self.asked: list[tuple[int, AgentInput]] = []
        self.most = 0

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        return [AgentAction(action=drawn(view)) for view in views]

    def stream(self, size: int):
        return self

    def ask(self, number: int, view: AgentInput) -> None:
        self.asked.append((number, view))
        self.most = max(self.most, len(self.asked))

    def answers(self):
        number, view = self.asked.pop()
        if view.task.payload["target"] == 2:
            return [(number, AgentError("not this one"))]
        return [(number, AgentAction(action=drawn(view)))]

    def close(self) -> None:
        self.asked = []


def test_a_streaming_agent_is_asked_again_while_others_wait(counting):
    agent = Unhurried()
    episodes = list(play("act/Counting", agent, num_envs=3, seed=1))
    assert agent.most == 3
    assert {episode.task.id for episode in episodes} == {task.id for task in tasks("act/Counting")}
    for episode in episodes:
        if episode.task.payload["target"] == 2:
            assert (episode.stop, episode.error) == ("agent_error", "not this one")
        else:
            (alone,) = play("act/Counting", function_agent("unhurried", drawn), [episode.task], seed=1)
            assert [turn.action for turn in alone.turns] == [turn.action for turn in episode.turns]


def test_the_place_of_a_finished_episode_is_taken_at_once(counting):
    agent = Watched()
    episodes = list(play("act/Counting", agent, num_envs=3))
    turns = sum(len(episode.turns) for episode in episodes)
    assert sum(agent.sizes) == turns
    # Three places are busy until no task waits, then two, then one.
    assert agent.sizes == sorted(agent.sizes, reverse=True)
    assert agent.sizes[: len(agent.sizes) // 2] == [3] * (len(agent.sizes) // 2)
    assert {episode.task.id for episode in episodes} == {task.id for task in tasks("act/Counting")}


@pytest.mark.parametrize("num_envs", [2, 4, 20])
def test_the_episodes_do_not_depend_on_how_many_run_at_once(counting, num_envs):
    def played(count):
        episodes = play("act/Counting", function_agent("drawn", drawn), seed=1, num_envs=count)
        return sorted(map(timeless, episodes), key=lambda episode: episode.task.id)

    assert played(num_envs) == played(1)


def test_the_seed_reaches_the_agent(counting):
    first, second, again = (list(play("act/Counting", function_agent("drawn", drawn), seed=seed)) for seed in (1, 2, 1))
    assert [timeless(episode) for episode in first] == [timeless(episode) for episode in again]
    assert [episode.turns[0].action for episode in first] != [episode.turns[0].action for episode in second]


def test_an_action_the_game_does_not_know_is_marked_and_the_episode_goes_on(counting):
    (episode,) = play(
        "act/Counting",
        function_agent("dancer", lambda view: "dance"),
        tasks("act/Counting")[:1],
        env_options={"max_episode_steps": 4},
    )
    assert [turn.action_valid for turn in episode.turns] == [False] * 4
    assert (episode.stop, episode.success, episode.error) == ("truncated", False, "")


def test_a_simulator_that_fails_in_a_step_ends_its_own_episode(counting):
    def crashing(view):
        return "crash" if view.task.id == "counting/long/6" and len(view.history) == 2 else expert(view)

    episodes = {
        episode.task.id: episode for episode in play("act/Counting", function_agent("crashing", crashing), num_envs=4)
    }
    failed = episodes.pop("counting/long/6")
    assert (failed.stop, failed.error, failed.success) == ("env_error", "The counter broke.", False)
    assert [turn.action for turn in failed.turns] == ["add", "add"]
    assert failed.versions == {"counting": "1"}
    assert len(episodes) == 7
    assert all(episode.success for episode in episodes.values())
    assert counting.running == 0


@pytest.mark.parametrize("guard", [Guarded, lambda agent: agent])
@pytest.mark.parametrize("looks", [True, False])
def test_a_simulator_that_fails_when_commands_are_looked_at_ends_its_own_episode(counting, monkeypatch, looks, guard):
    def read(goal, count):
        if (goal, count) == ("count to 6", 2):
            raise EngineError("The list was lost.")
        return ("add", "say")

    def later(engine):
        return LazyTuple(partial(read, engine.goal, engine._count))

    monkeypatch.setattr(counting, "admissible_commands", later)
    agent = function_agent(
        "looking", lambda view: [*view.admissible_commands[:0], expert(view)][0] if looks else expert(view)
    )
    episodes = {episode.task.id: episode for episode in play("act/Counting", guard(agent), num_envs=4)}
    failed = episodes.pop("counting/long/6")
    assert (failed.stop, len(failed.turns)) == ("env_error", 2)
    assert "The list was lost." in failed.error
    assert len(episodes) == 7
    assert all(episode.success for episode in episodes.values())


@pytest.mark.parametrize("num_envs", [1, 3])
def test_a_task_that_does_not_load_gives_an_episode_without_turns(counting, num_envs):
    broken = "counting/short/2"
    episodes = {
        episode.task.id: episode
        for episode in play(
            "act/Counting", function_agent("expert", expert), num_envs=num_envs, env_options={"broken": broken}
        )
    }
    failed = episodes.pop(broken)
    assert (failed.stop, failed.error, failed.turns) == ("env_error", f"{broken} does not load.", ())
    assert all(episode.success for episode in episodes.values())
    assert len(episodes) == 7


@dataclass
class Moody:
    """Refuses a whole batch that holds the task it cannot stand."""

    hated: str
    name: str = "moody"

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        if any(view.task.id == self.hated and view.history for view in views):
            raise AgentError("Not that one.")
        return [AgentAction(action=expert(view)) for view in views]


def test_an_agent_that_fails_ends_the_one_episode_it_fails_in(counting):
    episodes = {episode.task.id: episode for episode in play("act/Counting", Moody("counting/short/3"), num_envs=4)}
    failed = episodes.pop("counting/short/3")
    assert (failed.stop, failed.error, len(failed.turns)) == ("agent_error", "Not that one.", 1)
    assert (failed.success, failed.score) == (False, 0.25)
    assert len(episodes) == 7
    assert all(episode.success for episode in episodes.values())


def test_the_same_environment_plays_on_after_an_agents_failure(counting):
    chosen = tasks("act/Counting")[:3]
    stops = [episode.stop for episode in play("act/Counting", Moody(chosen[1].id), chosen)]
    assert stops == ["terminated", "agent_error", "terminated"]


def test_a_reply_without_an_action_is_a_turn_without_an_action(counting):
    class Mute:
        name = "mute"

        def act(self, views):
            return [AgentAction(action="", response="hm") for _ in views]

    (episode,) = play("act/Counting", Mute(), tasks("act/Counting")[:1], env_options={"max_episode_steps": 2})
    assert [(turn.action, turn.response, turn.action_valid) for turn in episode.turns] == [("", "hm", False)] * 2


def test_an_agent_that_answers_for_too_few_is_an_error(counting):
    class Lazy:
        name = "lazy"

        def act(self, views):
            return [AgentAction(action="add") for _ in views[1:]]

    with pytest.raises(AgentError, match="lazy got 2 inputs and returned 1 actions"):
        list(play("act/Counting", Lazy(), num_envs=2))
    assert counting.running == 0


def test_whoever_stops_listening_leaves_nothing_running(counting):
    episodes = play("act/Counting", function_agent("expert", expert), num_envs=3)
    next(episodes)
    assert counting.running == 3
    episodes.close()
    assert counting.running == 0


def test_no_tasks_give_no_episodes(counting):
    assert list(play("act/Counting", function_agent("expert", expert), [])) == []


def test_fewer_than_one_environment_is_refused(counting):
    with pytest.raises(UsageError, match="num_envs is at least 1; got 0"):
        list(play("act/Counting", function_agent("expert", expert), num_envs=0))
