"""Prompts worked out again from records: the very tokens that a local model read, and the messages a server got."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from act_gym.agent import AgentInput
from act_gym.benchmarks import tasks
from act_gym.errors import UsageError
from act_gym.rollout import play
from act_gym.types import Episode, Turn
from agents.local.agent import LocalAgent, LocalSettings
from agents.openai.agent import ChatAgent, ChatSettings
from agents.prompt_config import Question
from agents.prompt_replay import asked, prompts_of, question_of
from tests.tiny_models import save_with_tokenizer

ENV = "act/ALFWorld-generated-seen"


@pytest.fixture(scope="module")
def tiny_policy(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from agents.local.model import Policy

    return Policy.load(str(save_with_tokenizer(tmp_path_factory.mktemp("tiny"))), dtype="float32")


def played(agent: Any, turns: int = 5) -> Episode:
    (one,) = play(ENV, agent, tasks(ENV)[:1], env_options={"max_episode_steps": turns})
    return one


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"history": "window"},
        {"history": "conversation"},
        {"history": "conversation", "thinking": True, "max_new_tokens": 8},
        {"history": "window", "decode": "ranked", "list_commands": 5},
    ],
    ids=["window", "conversation", "reasoning", "ranked"],
)
def test_the_prompt_has_the_tokens_that_the_model_read(
    tiny_policy: Any, monkeypatch: pytest.MonkeyPatch, settings: Mapping[str, Any]
) -> None:
    from agents.local.scheduler import Decoder

    read: list[list[int]] = []
    put = Decoder.put

    def watched(self: Decoder, slot: int, work: Any) -> None:
        read.append(list(work.prompt))
        put(self, slot, work)

    agent = LocalAgent(LocalSettings(**settings), policy=tiny_policy)
    monkeypatch.setattr(Decoder, "put", watched)
    one = played(agent)
    question = question_of(agent.facts)
    assert question is not None
    found = [asked(one, number, question) for number in range(len(one.turns))]
    assert [one.is_exact for one in found] == [True] * 5
    for each, row in zip(found, read[-5:], strict=True):
        ids = tiny_policy.prompt_ids(each.messages, thinking=question.thinking)
        # What a reply is likely to begin with is read with the prompt: of all commands, or as a draft.
        assert row[: len(ids)] == ids
        assert len(row) - len(ids) <= (0 if question.thinking else 5)


@pytest.mark.slow
@pytest.mark.parametrize("history", ["window", "conversation"])
def test_a_prompt_that_was_cut_to_the_context_is_found_again(
    tiny_policy: Any, make_view: Callable[..., AgentInput], history: str
) -> None:
    turns = tuple(Turn(observation=f"Room {n}. " * 300, action=f"go to room {n}") for n in range(40))
    agent = LocalAgent(LocalSettings(history=history, window=40, max_characters=3000), policy=tiny_policy)
    view = make_view(history=turns)
    hash_then = agent.act([view])[0].prompt_hash
    last = Turn(observation=view.observation, prompt_hash=hash_then)
    one = Episode(
        task=view.task,
        env_id="",
        agent="",
        seed=0,
        goal=view.goal,
        turns=(*turns, last),
        final_observation="",
        success=False,
        score=0.0,
        raw_score=0.0,
        stop="truncated",
    )
    question = agent.settings.question()
    found = asked(one, 40, question)
    assert found.is_exact
    assert found.messages != next(prompts_of(question, view))
    assert len(tiny_policy.prompt_ids(found.messages)) <= tiny_policy.context


@pytest.mark.parametrize("history", ["window", "conversation"])
def test_a_servers_messages_are_found_again(faulty_server: Any, history: str) -> None:
    pytest.importorskip("openai")
    agent = ChatAgent(ChatSettings(model="m", base_url=faulty_server.url, history=history))
    one = played(agent, turns=3)
    question = question_of(agent.facts)
    assert question is not None
    found = [asked(one, number, question) for number in range(3)]
    assert [each.messages for each in found] == [request["messages"] for request in faulty_server.requests]
    assert all(each.is_exact for each in found)


def test_another_way_of_asking_is_no_exact_prompt(faulty_server: Any) -> None:
    pytest.importorskip("openai")
    agent = ChatAgent(ChatSettings(model="m", base_url=faulty_server.url))
    one = played(agent, turns=2)
    question = replace(agent.settings.question(), max_characters=20)
    assert not asked(one, 0, question).is_exact
    with pytest.raises(UsageError, match="turns 1 to 2; got 3"):
        asked(one, 2, question)


def test_an_agent_without_a_model_asked_nothing() -> None:
    assert question_of({"asked_for": "random"}) is None


def test_every_prompt_ends_with_the_current_observation(make_view: Callable[..., AgentInput]) -> None:
    history = tuple(Turn(observation=f"Room {number}.", action=f"go {number}") for number in range(5))
    view = make_view(observation="Room now.", history=history)
    shown = list(prompts_of(Question(history="conversation"), view))
    assert [len(messages) for messages in shown] == [11, 5, 3]
    assert all(messages[-1]["content"] == "Room now." for messages in shown)
    alone = list(prompts_of(Question(history="conversation"), make_view(observation="Room now.")))
    assert len(alone) == 1
    assert "Room now." in alone[0][-1]["content"]
