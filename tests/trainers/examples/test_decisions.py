import pytest

from act_gym import Decision, Episode, Task, Turn, UsageError
from act_gym.records import RecordWriter
from trainers.examples.decisions import StateSettings, decisions_of, expert_decisions

TASK = Task(id="cellar/lamp/0", benchmark="Cellar", split="train", task_type="lamp")


def episode(actions: list[str], *, success: bool = True, task: Task = TASK) -> Episode:
    turns = tuple(
        Turn(observation=f"Room {number}.", admissible_commands=("look", "wait", action), action=action)
        for number, action in enumerate(actions)
    )
    return Episode(
        task=task,
        env_id="act/Cellar-train",
        agent="expert",
        seed=0,
        goal="Light the lamp.",
        turns=turns,
        final_observation="It is bright.",
        success=success,
        score=float(success),
        raw_score=float(success),
        stop="terminated",
    )


def test_every_turn_becomes_a_decision_numbered_from_zero():
    decisions = list(decisions_of(episode(["look", "take lamp", "light lamp"])))
    assert [decision.id for decision in decisions] == [f"cellar/lamp/0#{number}" for number in range(3)]
    assert [decision.expert_action for decision in decisions] == ["look", "take lamp", "light lamp"]
    assert decisions[1].admissible_commands == ("look", "wait", "take lamp")


def test_a_state_shows_the_past_and_never_the_action_asked_for():
    states = [decision.state for decision in decisions_of(episode(["look", "take lamp", "light lamp"]))]
    assert "light lamp" not in states[2].split("Task: Light the lamp.")[1]
    assert "> take lamp" in states[2]
    assert states[2].endswith("Observation:\nRoom 2.")
    assert "Room 1" not in states[0]


def test_the_window_and_the_list_of_commands_are_settings():
    played = episode(["look", "take lamp", "light lamp"])
    bare = list(decisions_of(played, StateSettings(window=0, list_commands=2)))
    assert "> take lamp" not in bare[2].state
    assert bare[2].state.endswith("Possible actions: look; wait")


def test_a_turn_without_an_action_gives_no_decision_and_keeps_the_numbers():
    assert [decision.id for decision in decisions_of(episode(["look", " ", "light lamp"]))] == [
        "cellar/lamp/0#0",
        "cellar/lamp/0#2",
    ]


def test_a_decision_survives_json():
    decision = next(decisions_of(episode(["look"])))
    assert Decision.from_json(decision.to_json()) == decision


def test_files_give_successes_only_unless_failures_are_asked_for(tmp_path):
    lost = episode(["wait"], success=False, task=Task(id="cellar/lamp/1", benchmark="Cellar", split="t", task_type="l"))
    with RecordWriter(tmp_path / "episodes.jsonl") as file:
        file.write(episode(["look"]).to_json())
        file.write(lost.to_json())
    path = tmp_path / "episodes.jsonl"
    assert [decision.id for decision in expert_decisions([path])] == ["cellar/lamp/0#0"]
    assert len(list(expert_decisions([path], failures=True))) == 2


def test_the_same_task_twice_is_refused(tmp_path):
    path = tmp_path / "episodes.jsonl"
    with RecordWriter(path) as file:
        file.write(episode(["look"]).to_json())
    with pytest.raises(UsageError, match="a second time"):
        list(expert_decisions([path, path]))
