from dataclasses import replace

import pytest

from act_gym import tasks
from act_gym.errors import AgentError
from agents.asking import Question
from agents.examples import example_for
from agents.formats import FORMATS

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
    assert shown.endswith(plain)
    assert example_for(SEEN, "tags") in shown


def test_where_no_expert_is_there_is_no_example():
    with pytest.raises(AgentError, match="no example"):
        example_for(replace(SEEN, task_type="juggling"), "tags")
