import inspect
from types import SimpleNamespace

import numpy as np
import pytest

from act_gym import UsageError
from act_gym.agent import AgentInput
from act_gym.integrations.verl_agent import EnvironmentManager, make_envs, projection
from act_gym.types import Turn
from agents.prompt_config import Question

ENVS = ["act/ALFWorld-generated-seen", "act/WebShop-generated-seen", "act/ScienceWorld-train-seen"]
# Methods and arguments that the rollout loop of verl-agent calls (agent_system/multi_turn_rollout/rollout_loop.py).
CALLED = {"reset": ["kwargs"], "step": ["text_actions"], "close": [], "build_text_obs": []}


def say(action):
    return f"<think>so</think><action>{action}</action>"


@pytest.fixture(params=ENVS)
def manager(request):
    made = EnvironmentManager(request.param, env_num=2, group_n=2, max_steps=4)
    yield made
    made.close()


def test_the_manager_has_the_methods_that_verl_agent_calls():
    for name, arguments in CALLED.items():
        assert list(inspect.signature(getattr(EnvironmentManager, name)).parameters)[1:] == arguments


def test_a_group_plays_one_task_and_the_prompt_is_the_set_verl_agent(manager):
    seen, infos = manager.reset(None)
    assert infos[0]["task_id"] == infos[1]["task_id"] != infos[2]["task_id"] == infos[3]["task_id"]
    assert seen["image"] is None
    assert seen["anchor"][0] == seen["anchor"][1]
    question = Question(prompts="verl-agent", thinking=True, window=2, list_commands=10_000, max_characters=10**6)
    history = []
    for turn in range(4):
        env, info = manager.envs[0].unwrapped, infos[0]
        task = next(task for task in env.tasks if task.id == info["task_id"])
        view = AgentInput(
            task=task,
            goal=manager._infos[0]["goal"],
            observation=seen["anchor"][0],
            admissible_commands=tuple(info["admissible_commands"]),
            history=tuple(history),
        )
        assert seen["text"][0] == question.messages(view)[0]["content"], turn
        action = info["admissible_commands"][0].replace("<query>", "mug")
        history.append(Turn(observation=seen["anchor"][0], action=action.lower()))
        seen, rewards, dones, infos = manager.step([say(action)] * 4)
        assert rewards.shape == dones.shape == (4,)
    assert dones.all()
    again = manager.step([say("look")] * 4)
    assert again[0]["anchor"] == seen["anchor"]
    assert not again[1].any()


def test_an_expert_gets_ten_at_the_end_and_is_counted_by_type():
    manager = EnvironmentManager(ENVS[0], env_num=2)
    _, infos = manager.reset([{"task_id": manager._tasks[5].id}, {}])
    assert infos[0]["task_id"] == manager._tasks[5].id
    plan = manager.envs[0].unwrapped.expert_commands()
    steps, told = [[], []], [[], []]
    for command in plan:
        active = [not over for over in manager._over]
        _, rewards, dones, infos = manager.step([say(command), "I look around me and think"])
        for place in (0, 1):
            steps[place].append({"active_masks": active[place]})
            told[place].append(infos[place])
    assert (rewards.tolist(), dones.tolist()) == ([10.0, 0.0], [True, False])
    assert [bool(info["is_action_valid"]) for info in infos] == [True, False]
    found = manager.success_evaluator(total_infos=told, total_batch_list=steps)
    assert found["success_rate"].tolist() == [1.0, 0.0]
    assert found[f"{infos[0]['task_type']}_success_rate"][0] == 1.0
    manager.close()


def test_replies_are_read_as_verl_agent_reads_them():
    replies = [say(" Go To Desk 1 "), "<action>look</action>", "no action here, only a long sentence", say("看")]
    actions, valid = projection(replies)
    assert actions == ["go to desk 1", "look", "tion here, only a long sentence"[-30:], "看"]
    assert valid == [True, False, False, False]


def test_managers_are_made_of_verl_agents_config():
    env = SimpleNamespace(
        env_name=ENVS[0],
        val_env_name="act/ALFWorld-generated-unseen",
        seed=3,
        max_steps=5,
        history_length=2,
        rollout=SimpleNamespace(n=2),
    )
    train, val = make_envs(SimpleNamespace(env=env, data=SimpleNamespace(train_batch_size=1, val_batch_size=3)))
    assert (len(train.envs), len(val.envs)) == (2, 3)
    first = [info["task_id"] for info in val.reset()[1]]
    assert len(set(first)) == 3
    assert isinstance(val.step([say("look")] * 3)[1], np.ndarray)
    with pytest.raises(UsageError, match="2 kwargs for 3 episodes"):
        val.reset([{}, {}])
    train.close()
    val.close()
