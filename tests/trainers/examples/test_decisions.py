from dataclasses import replace

import pytest

from act_gym import Decision, Episode, Task, Turn, UsageError
from act_gym.records import RecordWriter, read_records
from trainers.examples.decisions import ExpertStates, StateSettings, decisions_of, expert_decisions

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


def files_of_episodes(folder):
    """Two files: of each three episodes, one failed; an action is left out in the last."""
    paths = [folder / "first.jsonl", folder / "second.jsonl"]
    for place, path in enumerate(paths):
        with RecordWriter(path) as file:
            for number, actions in enumerate((["look", "take lamp"], ["fail"], ["look", " ", "light lamp\ud800"])):
                task = Task(id=f"cellar/{place}/{number}", benchmark="Cellar", split="train", task_type="lamp")
                file.write(episode(actions, success=actions != ["fail"], task=task).to_json())
    return paths


def test_states_that_are_read_when_asked_for_are_the_same(tmp_path):
    paths = files_of_episodes(tmp_path)
    together, states = list(expert_decisions(paths)), ExpertStates(paths)
    assert len(states) == len(together) == 8
    assert list(states.read(range(8))) == list(enumerate(together))
    assert list(states.read({1, 6})) == [(1, together[1]), (6, together[6])]


@pytest.mark.parametrize("order", [[], [0, 3, 7], [7, 0, 3, 4]], ids=str)
def test_drawn_states_are_written_in_their_order(order, tmp_path):
    states = ExpertStates(files_of_episodes(tmp_path), StateSettings(window=1))
    together = list(expert_decisions(files_of_episodes(tmp_path / "again"), StateSettings(window=1)))
    states.write(tmp_path / "decisions.jsonl", order)
    written = [Decision.from_json(record) for record in read_records(tmp_path / "decisions.jsonl")]
    assert written == [Decision.from_json(together[number].to_json()) for number in order]


def test_a_task_that_was_played_twice_is_refused_when_counted(tmp_path):
    paths = files_of_episodes(tmp_path)
    with pytest.raises(UsageError, match="a second time"):
        ExpertStates([*paths, paths[0]])


def test_several_episodes_of_a_task_have_ids_of_their_own(tmp_path):
    path = tmp_path / "episodes.jsonl"
    with RecordWriter(path) as file:
        for seed in (0, 1, 2):
            file.write(replace(episode(["look"]), seed=seed).to_json())
    ids = ["cellar/lamp/0#0", "cellar/lamp/0@1#0", "cellar/lamp/0@2#0"]
    assert [decision.id for decision in expert_decisions([path])] == ids
    assert [decision.id for _, decision in ExpertStates([path]).read(range(3))] == ids


def test_the_experts_action_of_a_detour_is_its_label(tmp_path):
    played = episode(["dance", "take lamp", "wait"])
    labels = ("take lamp", "take lamp", "")
    turns = tuple(replace(turn, label=label) for turn, label in zip(played.turns, labels, strict=True))
    found = list(decisions_of(replace(played, turns=turns)))
    assert [(decision.id[-1], decision.expert_action) for decision in found] == [("0", "take lamp"), ("1", "take lamp")]
    assert "> dance" in found[1].state
