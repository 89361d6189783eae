import json
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym import ActionPair, Episode, ExpertStep, Task, Turn

numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=20)
commands = st.lists(texts, max_size=4).map(tuple)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
task = st.builds(
    Task,
    id=texts,
    benchmark=texts,
    split=texts,
    task_type=texts,
    payload=st.dictionaries(texts, json_values, max_size=3),
)
turn = st.builds(
    Turn,
    observation=texts,
    admissible_commands=commands,
    response=texts,
    thought=texts,
    action=texts,
    action_valid=st.booleans(),
    reward=numbers,
    score=numbers,
    prompt_tokens=st.integers(0),
    completion_tokens=st.integers(0),
    seconds=numbers,
)
episode = st.builds(
    Episode,
    task=task,
    env_id=texts,
    agent=texts,
    seed=st.integers(0),
    goal=texts,
    turns=st.lists(turn, max_size=3).map(tuple),
    final_observation=texts,
    success=st.booleans(),
    score=numbers,
    raw_score=numbers,
    stop=st.sampled_from(["terminated", "truncated", "env_error", "agent_error"]),
    error=texts,
    versions=st.dictionaries(texts, texts, max_size=3),
)
past = st.builds(Turn, observation=texts, action=texts.filter(bool)) | st.builds(
    Turn, observation=texts, response=texts
)
step = st.builds(
    ExpertStep,
    id=texts,
    task=task,
    turn=st.integers(0),
    goal=texts,
    history=st.lists(past, max_size=3).map(tuple),
    observation=texts,
    expert_action=texts,
    played_action=texts,
    admissible_commands=commands,
)
pair = st.builds(ActionPair, step=step, alternative=texts, proposer=texts, expert_first=st.booleans())


@given(st.one_of(task, turn, episode, step, pair))
def test_every_record_comes_back_from_json_as_it_was(record):
    line = json.dumps(record.to_json(), allow_nan=False)
    assert type(record).from_json(json.loads(line)) == record


@given(st.one_of(task, turn, episode, step, pair))
def test_keys_of_a_later_version_are_ignored(record):
    assert type(record).from_json({**record.to_json(), "from_the_future": 1}) == record


def test_a_record_without_a_needed_field_is_refused():
    with pytest.raises(TypeError, match="task_type"):
        Task.from_json({"id": "x", "benchmark": "b", "split": "s"})


def test_records_cannot_be_changed():
    record = Turn(observation="a room")
    with pytest.raises(FrozenInstanceError):
        record.observation = "another"  # type: ignore[misc]


@given(pair)
def test_a_pair_shows_both_actions_once_in_the_drawn_order(record):
    shown = record.actions
    assert shown[0 if record.expert_first else 1] == record.step.expert_action
    assert shown[1 if record.expert_first else 0] == record.alternative
