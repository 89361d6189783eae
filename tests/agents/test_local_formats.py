"""The reply formats with a local model."""

from copy import copy

import pytest

from act_gym.errors import UsageError
from agents.local.agent import LocalAgent, LocalSettings
from agents.registry import make_agent
from agents.reply_formats import FORMATS, TOOL

pytestmark = pytest.mark.slow

TEMPLATE = (
    "{% if tools %}<|im_start|>system\nYou may call: {{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)


@pytest.fixture
def with_tools(policy):
    """The model with a chat template that has a place for tools."""
    told = copy(policy)
    told.tokenizer = copy(policy.tokenizer)
    told.tokenizer.chat_template = TEMPLATE
    return told


@pytest.mark.parametrize("name", FORMATS)
def test_a_model_is_asked_in_a_format_and_its_reply_is_read_in_it(with_tools, make_view, name):
    agent = LocalAgent(LocalSettings(format=name, max_new_tokens=12), policy=with_tools)
    view = make_view()
    (choice,) = agent.act([view])
    text = with_tools.tokenizer.decode(agent.policy.prompt_ids(agent._prompt(view)))
    assert text.count('"command"') == (1 if name == "tools" else 0) + text.count('["command"]')
    assert choice.prompt_tokens == len(agent.policy.prompt_ids(agent._prompt(view)))
    assert choice.action == (FORMATS[name].read(choice.response).action or "")
    stream = agent.stream(1)
    stream.ask(0, view)
    ((_, streamed),) = stream.answers()
    stream.close()
    assert streamed == choice


def test_tools_reach_the_prompt_and_leave_the_model_as_it_was(with_tools):
    message = [{"role": "user", "content": "hello"}]
    told = with_tools.offering((TOOL,))
    assert len(told.prompt_ids(message)) > len(with_tools.prompt_ids(message)) + 40
    assert with_tools.tools == ()


def test_a_template_without_a_place_for_tools_is_refused(policy):
    with pytest.raises(UsageError, match="does not support tools"):
        LocalAgent(LocalSettings(format="tools"), policy=policy)


def test_an_example_is_left_out_where_it_does_not_fit(with_tools, make_view):
    from dataclasses import replace

    from act_gym import tasks

    view = replace(make_view(), task=tasks("act/ALFWorld-generated-seen")[0])
    agent = LocalAgent(LocalSettings(example=True), policy=with_tools)
    assert "how it was solved" in agent._prompt(view)[0]["content"]
    assert agent.name.endswith(":free,example")
    small = copy(with_tools)
    small.__class__ = type("Small", (type(with_tools),), {"context": 250})
    assert "how it was solved" not in LocalAgent(LocalSettings(example=True), policy=small)._prompt(view)[0]["content"]


def test_ranked_reads_tags_only():
    with pytest.raises(UsageError, match="format=tags"):
        make_agent("local:decode=ranked,format=react")
