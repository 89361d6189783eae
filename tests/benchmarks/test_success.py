"""What counts as a success, on real episodes of every benchmark; the words are those of docs/design/evaluation.md."""

from pathlib import Path

import gymnasium as gym
import pytest

import act_gym
from act_gym import play
from act_gym.benchmarks import tasks
from agents.baselines import ExpertAgent, RandomAgent
from benchmarks.stats.scores import flat_record
from benchmarks.suites import SUCCESS

DOCS = Path(__file__).parents[2] / "docs" / "design" / "evaluation.md"


def record(env_id, agent, task, **options):
    (episode,) = play(env_id, agent, [task], env_options=options)
    return flat_record(episode)


def solution(env_id, task):
    """The expert's actions."""
    (episode,) = play(env_id, ExpertAgent(), [task], env_options={"max_episode_steps": 300})
    return [turn.action for turn in episode.turns]


@pytest.mark.parametrize("name", SUCCESS)
def test_the_definition_is_written_down(name):
    text = " ".join(DOCS.read_text(encoding="utf-8").split())
    assert f"**{name}**: {SUCCESS[name]}" in text


def test_alfworld_is_won_and_not_a_turn_before():
    env_id, task = "act/ALFWorld-generated-seen", tasks("act/ALFWorld-generated-seen")[0]
    actions = solution(env_id, task)
    env = gym.make(env_id)
    env.reset(options={"task_id": task.id})
    seen = []
    for action in actions:
        _, _, terminated, _, info = env.step(action)
        seen.append((info["success"], info["raw_score"], terminated))
    env.close()
    assert seen[-1] == (True, 1.0, True)
    assert {each[0] for each in seen[:-1]} == {False}
    won = record(env_id, ExpertAgent(), task)
    assert (won["success"], won["score"], won["stop"]) == (True, 1.0, "terminated")
    late = record(env_id, ExpertAgent(), task, max_episode_steps=len(actions) - 1)
    assert (late["success"], late["stop"]) == (False, "truncated")
    in_time = record(env_id, ExpertAgent(), task, max_episode_steps=len(actions))
    assert (in_time["success"], in_time["stop"]) == (True, "terminated")


def test_webshop_is_a_reward_of_exactly_one():
    env_id = "act/WebShop-generated-seen"
    some = tasks(env_id)[:12]
    bought = [record(env_id, ExpertAgent(), task) for task in some]
    assert any(each["success"] for each in bought)
    for each in bought:
        assert each["success"] == (each["raw_score"] == 1.0)
    chosen = [record(env_id, RandomAgent(), task) for task in some]
    part = [each for each in chosen if 0 < each["score"] < 1]
    assert part  # a purchase of something else is rewarded in part, and is no success
    assert not any(each["success"] for each in part)
    assert {each["stop"] for each in part} == {"terminated"}
    unsold = record(env_id, ExpertAgent(), some[0], max_episode_steps=1)
    assert (unsold["success"], unsold["score"], unsold["stop"]) == (False, 0.0, "truncated")


def test_scienceworld_is_a_raw_score_of_100_and_never_a_time_out():
    env_id = "act/ScienceWorld-seen"
    task = next(task for task in tasks(env_id) if task.task_type == "find-non-living-thing")
    done = record(env_id, ExpertAgent(), task)
    assert (done["success"], done["raw_score"], done["stop"]) == (True, 100.0, "terminated")
    late = record(env_id, ExpertAgent(), task, max_episode_steps=done["turns"] - 1)
    assert late["score"] > 0  # what counts as a success elsewhere
    assert (late["success"], late["stop"]) == (False, "truncated")


def test_an_agent_that_fails_has_no_success():
    def fail(view):
        raise act_gym.AgentError("no answer")

    env_id = "act/ALFWorld-generated-seen"
    failed = record(env_id, act_gym.function_agent("failing", fail), tasks(env_id)[0])
    assert (failed["success"], failed["stop"], failed["error"]) == (False, "agent_error", "no answer")
