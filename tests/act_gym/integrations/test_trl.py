import pickle

import pytest

from act_gym import play, tasks
from act_gym.errors import UnknownNameError, UsageError
from act_gym.integrations.trl_environment import ToolEnvironment, environment_factory, training_rows

ENV = "act/ALFWorld-generated-train"


@pytest.fixture
def environment():
    made = environment_factory(ENV, {"max_episode_steps": 40})()
    yield made
    made._close()


def test_an_experts_commands_solve_the_task_through_the_tool(environment):
    class Expert:
        name = "expert"

        def act(self, views):
            from act_gym import AgentAction

            return [AgentAction(action=view.expert_commands()[len(view.history)]) for view in views]

    (episode,) = play(ENV, Expert(), tasks(ENV)[:1])
    assert episode.success
    observation = environment.reset(task_id=episode.task.id, prompt="whatever the row holds")
    assert observation == f"Task: {episode.goal}\n\nObservation:\n{episode.turns[0].observation}"
    for turn, shown in zip(episode.turns, [turn.observation for turn in episode.turns[1:]], strict=False):
        assert environment.get_reward() == 0
        assert environment.act(turn.action) == shown
    assert environment.act(episode.turns[-1].action) == f"{episode.final_observation}\n\nThe episode is over."
    assert environment.get_reward() == 1
    assert environment.act("look") == "The episode is over."
    environment.reset(task_id=episode.task.id)
    assert environment.get_reward() == 0


def test_the_step_limit_ends_an_episode(environment):
    environment.reset(task_id=tasks(ENV)[0].id)
    shown = [environment.act("look") for _ in range(41)]
    assert shown[39].endswith("The episode is over.")
    assert shown[40] == "The episode is over."


def test_a_row_without_a_task_is_refused_because_a_group_must_play_one_task(environment):
    with pytest.raises(UsageError, match="training_rows"):
        environment.reset(prompt="x")


def test_rows_name_tasks_of_the_environment(environment):
    rows = training_rows(ENV, tasks(ENV)[:3])
    assert [row["task_id"] for row in rows] == [task.id for task in tasks(ENV)[:3]]
    assert environment.reset(**rows[2])


def test_a_factory_travels_to_other_processes_and_refuses_what_is_not_there():
    made = pickle.loads(pickle.dumps(environment_factory(ENV, reward="success")))()
    made._close()
    with pytest.raises(UsageError, match="score or success"):
        ToolEnvironment(ENV, reward="points")
    with pytest.raises(UnknownNameError):
        environment_factory("act/ALFWorld-generated")


@pytest.mark.parametrize("mode", ["text", "url", "html"])
def test_the_model_reads_the_goal_in_every_view_of_webshop(mode):
    env_id = "act/WebShop-generated-train"
    made = environment_factory(env_id, {"observation_mode": mode})()
    shown = made.reset(task_id=tasks(env_id)[0].id)
    made._close()
    assert f"Task: {made._info['goal']}\n" in shown


def test_the_model_reads_the_goal_of_every_kind_of_scienceworld():
    pytest.importorskip("scienceworld", reason="Run: pip install -e '.[scienceworld]'")
    env_id = "act/ScienceWorld-train"
    made = environment_factory(env_id)()
    one_of_each = {task.task_type: task.id for task in tasks(env_id)}
    assert len(one_of_each) == 30
    for task_id in one_of_each.values():
        shown = made.reset(task_id=task_id)
        goal = made._info["goal"]
        assert goal
        assert shown.startswith(f"Task: {goal}\n")
    made._close()
