"""Conversations as tokens: appended and never rendered again, the same in training and in play."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from importlib.resources import files
from typing import Any

import pytest

from act_gym.agent import AgentInput
from act_gym.benchmarks import tasks
from act_gym.errors import UsageError
from act_gym.rollout import play
from act_gym.types import Episode, Turn
from agents.baselines import RandomAgent
from agents.conversation import fitted
from agents.local.agent import LocalAgent, LocalSettings
from agents.mixture import MixtureAgent
from agents.prompt_config import Question, view_of
from agents.search_expert import SearchExpert
from trainers.data.expert_steps import steps_of

ENV = "act/ALFWorld-generated-seen"
QUESTION = Question(history="conversation")
# The order of messages, their headers and what they do with earlier reasoning differ.
SHIPPED = ("qwen3", "qwen2_5", "llama3", "gemma")


@pytest.fixture(scope="module")
def episode() -> Episode:
    agent = MixtureAgent(SearchExpert(), RandomAgent(), 0.7)
    return next(iter(play(ENV, agent, tasks(ENV)[:1], env_options={"max_episode_steps": 12})))


def views(episode: Episode) -> Iterator[AgentInput]:
    shown = [turn.observation for turn in episode.turns] + [episode.final_observation]
    for number, observation in enumerate(shown):
        yield AgentInput(task=episode.task, goal=episode.goal, observation=observation, history=episode.turns[:number])


def templated(policy: Any, name: str) -> Any:
    told = copy(policy)
    told.tokenizer = copy(policy.tokenizer)
    if name != "smollm2":
        told.tokenizer.chat_template = (files("trl") / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")
    return told


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smollm2", *SHIPPED])
@pytest.mark.parametrize("thinking", [False, True])
def test_each_turn_begins_with_the_tokens_of_the_last(policy: Any, episode: Episode, name: str, thinking: bool) -> None:
    told = templated(policy, name)
    before: list[int] = []
    for view in views(episode):
        row = told.prompt_ids(QUESTION.conversation(view), thinking=thinking)
        assert row[: len(before)] == before
        before = row


@pytest.mark.slow
def test_a_plain_template_gives_the_tokens_of_the_whole_chat(policy: Any, episode: Episode) -> None:
    *_, view = views(episode)
    messages = QUESTION.conversation(view)
    text = policy.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert policy.prompt_ids(messages) == policy.ids(text)


@pytest.mark.slow
@pytest.mark.parametrize("decode", ["free", "ranked"])
def test_a_turn_reads_only_what_is_new(policy: Any, decode: str) -> None:
    agent = LocalAgent(LocalSettings(history="conversation", decode=decode), policy=policy)
    stream: Any = None

    class Watched:
        name = "watched"

        def act(self, views: Any) -> Any:
            return agent.act(views)

        def stream(self, size: int) -> Any:
            nonlocal stream
            stream = agent.stream(size)
            return stream

    (one,) = play(ENV, Watched(), tasks(ENV)[:1], env_options={"max_episode_steps": 5})
    longest = one.turns[-1].prompt_tokens
    assert stream.decoder.read_tokens < 1.2 * longest + 5 * 12
    assert sum(turn.prompt_tokens for turn in one.turns) > 2 * longest


@pytest.mark.slow
def test_a_conversation_that_is_too_long_keeps_its_opening(policy: Any, make_view: Callable[..., AgentInput]) -> None:
    turns = tuple(Turn(observation=f"Room {n}. " * 120, action=f"go to room {n}") for n in range(60))
    agent = LocalAgent(LocalSettings(history="conversation"), policy=policy)
    view = make_view(history=turns)
    messages = agent._prompt(view)
    assert view.goal in messages[0]["content"]
    assert len(messages) < 2 * len(turns)
    assert len(policy.prompt_ids(messages)) <= policy.context


def test_a_list_of_commands_is_refused_in_a_conversation() -> None:
    with pytest.raises(UsageError, match="history=window"):
        Question(history="conversation", list_commands=10)


def test_a_reply_without_an_action_is_shown_as_written(make_view: Callable[..., AgentInput]) -> None:
    view = make_view(history=(Turn(observation="A door.", action="", response="I think so."),))
    assert [message["content"] for message in QUESTION.conversation(view)[1:2]] == ["I think so."]


@pytest.mark.parametrize("thinking", [False, True])
def test_judging_continues_the_conversation_of_acting(episode: Episode, thinking: bool) -> None:
    asking = Question(history="conversation", thinking=thinking)
    for step, view in zip(steps_of(episode), views(episode), strict=False):
        acting, judging = asking.messages(view), asking.judging(view_of(step), "go to bed 1", "look")
        assert judging[:-1] == acting[:-1]
        assert judging[-1]["content"].startswith(acting[-1]["content"] + "\n\nAction 1: go to bed 1\nAction 2: look\n")
        assert ("<think>" in judging[-1]["content"]) is thinking


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smollm2", *SHIPPED])
def test_judging_reads_the_tokens_of_acting_first(policy: Any, episode: Episode, name: str) -> None:
    told = templated(policy, name)
    *_, step = steps_of(episode)
    acting, judging = QUESTION.messages(view_of(step)), QUESTION.judging(view_of(step), "look", "wait")
    last = told.ids(acting[-1]["content"])
    read = told.prompt_ids(acting)
    shared = next(place for place in range(len(read)) if read[place : place + len(last) - 2] == last[: len(last) - 2])
    assert told.prompt_ids(judging)[: shared + len(last) - 2] == read[: shared + len(last) - 2]


@pytest.mark.slow
def test_a_question_that_is_too_long_loses_old_turns_alone(policy: Any, make_view: Callable[..., AgentInput]) -> None:
    turns = tuple(Turn(observation=f"Room {n}. " * 40, action=f"go to room {n}") for n in range(30))
    asked = QUESTION.judging(make_view(history=turns), "look", "wait")
    kept = fitted(policy, asked, 1500)
    assert len(policy.prompt_ids(kept)) <= 1500 < len(policy.prompt_ids(asked))
    assert (kept[0], kept[-1]) == (asked[0], asked[-1])
    assert asked[-len(kept) + 1 :] == kept[1:]
    assert len(fitted(policy, asked, 10)) == 3  # the question itself is never cut
