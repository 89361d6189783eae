"""Implicit world modelling: what an action leads to is learned."""

from __future__ import annotations

from pathlib import Path

import pytest

from act_gym.errors import RunError, UsageError
from act_gym.io.jsonl import RecordWriter
from act_gym.types import ActionPair, Transition
from agents.prompt_config import Question
from trainers.run import checkpoints
from trainers.world_model import WorldModelConfig, lessons, train


@pytest.fixture
def experiences(pairs: list[ActionPair]) -> list[Transition]:
    """In every state the expert's action, a proposal and a random one, which lead to different places."""
    records = []
    for pair in pairs[:4]:
        chosen = {"expert": pair.step.expert_action, "m:free": pair.alternative, "random": "look around"}
        records += [
            Transition(
                step=pair.step,
                action=action,
                is_expert=source == "expert",
                source=source,
                next_observation=f"  You {action}.\n",
                action_valid=True,
                score=0.0,
                terminated=False,
                success=False,
                same_as_expert=source == "expert",
            )
            for source, action in chosen.items()
        ]
    return records


def test_the_experts_and_random_actions_are_asked_about_and_proposals_if_wanted(experiences: list[Transition]) -> None:
    questions, answers = lessons(experiences)
    assert len(questions) == 8
    assert answers[:2] == [f"You {experiences[0].action}.", "You look around."]
    assert experiences[0].step.observation in questions[0].prompt[0]["content"]
    assert experiences[0].action in questions[0].prompt[0]["content"]
    assert len(lessons(experiences, actions="all")[0]) == 12


def test_long_observations_are_cut_and_the_cut_is_marked(experiences: list[Transition]) -> None:
    _, answers = lessons(experiences, Question(max_characters=6))
    assert answers[1] == "You lo …"


def test_what_an_action_leads_to_is_learned(tmp_path: Path, experiences: list[Transition], tiny_model: Path) -> None:
    path = tmp_path / "experience.jsonl"
    with RecordWriter(path) as writer:
        for record in experiences:
            writer.write(record.to_json())
    arguments = WorldModelConfig(
        experience=path,
        model=str(tiny_model),
        out=tmp_path / "run",
        actions="all",
        epochs=40,
        precision="fp32",
        batch=6,
        micro_batch=6,
        learning_rate=1e-2,
        save_every=0,
    )
    summary = train(arguments)
    assert (summary["questions"], "format_error_rate_before" in summary) == (12, False)
    policy = checkpoints.load(str(arguments.out / "checkpoint"), "fp32")
    questions, answers = lessons(experiences, actions="all")
    replies = policy.generate([question.prompt for question in questions], max_new_tokens=24, temperature=0, stop=None)
    # Which place it leads to takes more than a tiny model learns in a moment; that looking around is no going does not.
    assert [reply.text[:9] for reply in replies] == [answer[:9] for answer in answers]
    assert [reply.text for reply in replies[2::3]] == answers[2::3]


def test_wrong_settings_and_wrong_files_are_named(tmp_path: Path, pairs_file: Path, tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="--max-characters"):
        train(WorldModelConfig(model=str(tiny_model), max_characters=0, out=tmp_path / "a"))
    assert not (tmp_path / "a").exists()
    with pytest.raises(RunError, match="is no Transition"):
        train(WorldModelConfig(experience=pairs_file, model=str(tiny_model), out=tmp_path / "b"))
