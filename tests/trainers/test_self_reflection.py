"""Monologues: what is asked, what is kept, and that training on them leaves both ways of answering."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from act_gym.errors import RunError, UsageError
from act_gym.io.jsonl import RecordWriter, read_records
from act_gym.io.run_dir import Run
from act_gym.types import ActionPair, Transition
from agents.prompts import read_reply
from tests.trainers.conftest import make_pair
from trainers.data.questions import Question
from trainers.imitation import ImitationConfig
from trainers.run import checkpoints
from trainers.self_reflection import KINDS, SelfReflectionConfig, ask, lessons, read_monologue, scenes, train
from trainers.sft.answers import train_on_answers


def tried(pair: ActionPair, action: str, seen: str, **other: Any) -> Transition:
    expert = action == pair.step.expert_action
    values = {"source": "expert" if expert else "m:free", "same_as_expert": expert, **other}
    return Transition(
        step=pair.step,
        action=action,
        is_expert=expert,
        next_observation=seen,
        action_valid=True,
        score=0.0,
        terminated=False,
        success=False,
        **values,
    )


def records_of(pair: ActionPair) -> list[Transition]:
    return [
        tried(pair, pair.step.expert_action, "You are there."),
        tried(pair, pair.alternative, "It is dark here."),
        tried(pair, "look around", "A hall.", source="random"),
    ]


@pytest.fixture
def experiences(pairs: list[ActionPair]) -> list[Transition]:
    return [record for pair in pairs[:6] for record in records_of(pair)]


@pytest.fixture
def experience_file(tmp_path: Path, experiences: list[Transition]) -> Path:
    path = tmp_path / "experience.jsonl"
    with RecordWriter(path) as writer:
        for record in experiences:
            writer.write(record.to_json())
    return path


def test_a_record_of_experience_survives_the_file(experiences: list[Transition]) -> None:
    assert [Transition.from_json(json.loads(json.dumps(one.to_json()))) for one in experiences] == experiences


def test_the_prompt_shows_every_outcome_and_does_not_say_whose_the_action_is(experiences: list[Transition]) -> None:
    found, bare = scenes(experiences)
    assert (len(found), bare) == (6, [])
    for scene in found:
        content = ask(scene)[0]["content"]
        assert scene.step.goal in content
        for action, seen in scene.outcomes:
            assert f"- {action}: {seen}" in content
        assert content.endswith(f"End with <action>{scene.step.expert_action}</action>")
        assert "expert" not in content.lower()
    orders = [ask(found[0], seed=seed)[0]["content"] for seed in range(12)]
    assert len(set(orders)) > 1


def test_proposals_come_before_random_actions_and_what_is_as_good_is_left_out(
    experiences: list[Transition], pairs: list[ActionPair]
) -> None:
    few, _ = scenes(experiences, alternatives=1)
    assert [scene.outcomes[1][0] for scene in few] == [pair.alternative for pair in pairs[:6]]
    as_good = tried(pairs[0], pairs[0].alternative, "You are there.", same_as_expert=True)
    found, bare = scenes([experiences[0], as_good, *experiences[3:]])
    assert bare == [pairs[0].step.id]
    assert len(found) == 5


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("The door leads there. <action>open door</action>", "kept"),
        ("<think>The door leads there.</think><action>Open  door.</action>", "kept"),
        ("The door leads there, so I open it.", "kept"),
        ("I would rather wait. <action>wait</action>", "another action"),
        ("I open it. <action>open door</action><action>wait</action>", "another action"),
        ("<action>open door</action>", "empty"),
        ("  ", "empty"),
        ("The expert opens it. <action>open door</action>", "forbidden words"),
        ("Action 1 is best. <action>open door</action>", "forbidden words"),
        ("The action #2 leads nowhere. <action>open door</action>", "forbidden words"),
    ],
)
def test_a_monologue_is_kept_only_if_it_could_have_been_thought_there(reply: str, kind: str) -> None:
    found, words = read_monologue(reply, "open door")
    assert found == kind
    assert found in KINDS
    assert bool(words) == (kind == "kept")
    assert "<" not in words


def test_a_reply_that_was_cut_off_is_none() -> None:
    assert read_monologue("The door leads", "open door", cut_off=True) == ("cut off", "")
    assert read_monologue("The door. <action>open", "open door", cut_off=True) == ("cut off", "")
    assert read_monologue("The door. <action>open door</action>", "open door", cut_off=True)[0] == "kept"


def test_the_lessons_are_the_monologues_and_the_experts_actions(experiences: list[Transition]) -> None:
    decisions = list({one.step.id: one.step for one in experiences}.values())
    told = {decisions[0].id: "It is the way.", decisions[4].id: "There."}
    questions, answers = lessons(experiences, told, mix_expert=True)
    assert [question.thinking for question in questions] == [True] * 2 + [False] * 6
    assert answers[0] == f"<think>It is the way.</think><action>{decisions[0].expert_action}</action>"
    assert read_reply(answers[1]).thought == "There."
    assert answers[2:] == [f"<action>{one.expert_action}</action>" for one in decisions]
    assert len(lessons(experiences, told, mix_expert=False)[0]) == 2


THOUGHT = "I see a way to go."


@pytest.fixture(scope="module")
def writing_model(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """The tiny model after it was taught to write one monologue, whatever the scene."""
    out = tmp_path_factory.mktemp("writing") / "run"
    teaching = ImitationConfig(
        model=str(tiny_model), out=out, steps=80, batch=6, micro_batch=6, learning_rate=1e-2, precision="fp32"
    )
    found, _ = scenes(record for number in range(6) for record in records_of(make_pair(number)))
    questions = [Question(one.step.id, ask(one, seed=1), one.step.expert_action, ()) for one in found]
    opened = Run(out, "teaching", teaching)
    train_on_answers("teaching", teaching, opened, questions, [THOUGHT] * len(questions), acting=False)
    return out / "checkpoint"


@pytest.fixture
def reflecting(tmp_path: Path, experience_file: Path, writing_model: Path) -> SelfReflectionConfig:
    return SelfReflectionConfig(
        experience=experience_file,
        model=str(writing_model),
        out=tmp_path / "run",
        max_new_tokens=48,
        tries=2,
        temperature=0.1,
        batch=4,
        micro_batch=4,
        epochs=60,
        learning_rate=1e-2,
        precision="fp32",
        probe=0,
        save_every=0,
        seed=1,
    )


def test_a_model_learns_its_own_monologues_and_still_answers_without(
    reflecting: SelfReflectionConfig, experiences: list[Transition], capsys: pytest.CaptureFixture[str]
) -> None:
    summary = train(reflecting)
    written = list(read_records(reflecting.out / "reflections.jsonl"))
    kept = {record["id"]: record["monologue"] for record in written if record["kind"] == "kept"}
    assert any(one.endswith("a way to go.") for one in kept.values())
    assert (summary["monologues"], summary["discarded"]) == (len(kept), 6 - len(kept))
    assert summary["questions"] == len(kept) + 6
    assert f"reflection: {len(kept)} monologues" in capsys.readouterr().err
    policy = checkpoints.load(str(reflecting.out / "checkpoint"), "fp32")
    questions, _ = lessons(experiences, kept, mix_expert=True)
    replies = policy.generate([question.prompt for question in questions], max_new_tokens=64, temperature=0)
    read = [read_reply(reply.text) for reply in replies]
    # Reasoning where it was asked for and none elsewhere, and an action after both.
    assert [bool(one.thought) for one in read] == [True] * len(kept) + [False] * 6
    assert all(one.action is not None and one.action.startswith("go to ") for one in read)


def test_monologues_that_were_written_are_not_written_again(reflecting: SelfReflectionConfig) -> None:
    train(replace(reflecting, steps=1))
    before = (reflecting.out / "reflections.jsonl").read_bytes()
    lines = before.splitlines(keepends=True)
    (reflecting.out / "done.json").unlink()
    (reflecting.out / "reflections.jsonl").write_bytes(b"".join(lines[:2]))
    train(replace(reflecting, steps=1, resume=True))
    assert (reflecting.out / "reflections.jsonl").read_bytes() == before


def test_without_one_monologue_there_is_no_reflection(reflecting: SelfReflectionConfig) -> None:
    with pytest.raises(RunError, match="--writer"):
        train(replace(reflecting, max_new_tokens=1))
    with pytest.raises(UsageError, match="--tries"):
        train(replace(reflecting, tries=0, out=reflecting.out.with_name("b")))


def test_another_model_may_write(reflecting: SelfReflectionConfig, tiny_model: Path) -> None:
    train(replace(reflecting, model=str(tiny_model), writer=reflecting.model, steps=1))
    manifest = json.loads((reflecting.out / "manifest.json").read_text())
    folders = {str(Path(path).parent) for path in manifest["inputs"] if path.endswith(".safetensors")}
    assert folders == {str(tiny_model), str(reflecting.model)}
