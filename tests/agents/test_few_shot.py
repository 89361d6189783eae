import re
from dataclasses import replace

import pytest

from act_gym import function_agent, play, tasks
from act_gym.benchmarks import parse_id
from act_gym.errors import AgentError
from agents.few_shot import example_for
from agents.prompt_config import Question
from agents.reply_formats import FORMATS

SEEN = tasks("act/ALFWorld-generated-seen")[0]
TRAIN = [task for task in tasks("act/ALFWorld-generated-train") if task.task_type == SEEN.task_type]


@pytest.mark.parametrize("name", FORMATS)
def test_an_example_is_an_experts_episode_in_the_format_of_the_replies(name):
    text = example_for(SEEN, name)
    assert text.startswith("Task: ")
    blocks = text.split("\n\nObservation:\n")[1:]
    actions = [FORMATS[name].read(block.rpartition("\n\n")[2]).action for block in blocks]
    assert len(actions) >= 2
    assert all(actions)
    assert text == example_for(SEEN, name)


def test_an_example_is_never_the_task_itself():
    texts = {example_for(task, "tags") for task in TRAIN[:5]}
    assert len(texts) == 2  # the shortest, and for that one the next
    assert example_for(SEEN, "tags") in texts


def test_an_example_stands_before_the_task_and_only_when_asked_for(make_view):
    view = replace(make_view(), task=SEEN)
    plain, shown = (Question(example=wanted).messages(view)[0]["content"] for wanted in (False, True))
    environment, _, state = plain.partition("\n\nTask:")
    assert shown.startswith(f"{environment}\n\nHere is another task")
    assert shown.endswith(f"Now comes your own task.\n\nTask:{state}")
    assert example_for(SEEN, "tags") in shown


def shown_example(env_id, env_options, task_type=""):
    """The example in the prompt of the first task of a type, and the first observation of that task."""
    prompts = []

    def choose(view):
        prompts.append((Question(example=True, max_characters=10_000).messages(view)[0]["content"], view.observation))
        return ""

    listed = tasks(env_id, **parse_id(env_id)[0].choosing(env_options))
    chosen = [task for task in listed if task.task_type.startswith(task_type)][:1]
    (episode,) = play(
        env_id, function_agent("reader", choose), chosen, env_options={**env_options, "max_episode_steps": 1}
    )
    assert episode.stop == "truncated", episode.error
    (prompt, observation) = prompts[0]
    return prompt.partition("Now comes your own task.")[0], observation


def test_an_example_shows_the_commands_that_are_accepted():
    shown = {legacy: shown_example("act/ALFWorld-generated-seen", {"legacy_commands": legacy})[0] for legacy in (0, 1)}
    assert re.search(r"<action>move .* to .*</action>", shown[False])
    assert re.search(r"<action>put .* in/on .*</action>", shown[True])
    assert "<action>move" not in shown[True]


@pytest.mark.parametrize("mode", ["text", "text_rich", "url"])
def test_an_example_shows_pages_as_the_task_does(mode):
    shown, observation = shown_example("act/WebShop-generated-seen", {"observation_mode": mode})
    example = shown.split("Observation:\n")[1]
    mark = {"text": "[SEP]", "text_rich": "[button]", "url": "http://127.0.0.1:3000"}[mode]
    assert mark in observation
    assert mark in example


def test_an_example_of_a_simplified_world_is_simplified():
    pytest.importorskip("scienceworld", reason="Run: pip install -e '.[scienceworld]'")
    plain = shown_example("act/ScienceWorld-seen", {}, "find-plant")[0]
    easy = shown_example("act/ScienceWorld-seen", {"simplifications": "easy"}, "find-plant")[0]
    assert "(that is closed)" in plain
    assert "(that is closed)" not in easy


def test_an_example_is_of_the_goals_that_are_played(webshop_data):
    """The small shop has no goals of people to train on: the message says so, and no other goal is shown."""
    (task, *_) = tasks("act/WebShop-test", human_goals=True)
    with pytest.raises(
        AgentError, match=r"act/WebShop-train with \{'human_goals': True\} .* Play without example=true"
    ):
        example_for(task, "tags", env_options={"human_goals": True})
    assert example_for(task, "tags")


def test_where_no_expert_is_there_is_no_example():
    with pytest.raises(AgentError, match="no example"):
        example_for(replace(SEEN, task_type="juggling"), "tags")
