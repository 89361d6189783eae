from dataclasses import replace

import pytest

from act_gym import Episode, ExpertStep, RunError, Task, Turn, UsageError
from act_gym.io.jsonl import RecordWriter, read_records
from agents.prompt_config import Question, view_of
from trainers.data.expert_steps import ExpertStates, expert_steps, steps_of
from trainers.data.questions import read_pairs, read_steps

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
    decisions = list(steps_of(episode(["look", "take lamp", "light lamp"])))
    assert [step.id for step in decisions] == [f"cellar/lamp/0#{number}" for number in range(3)]
    assert [step.expert_action for step in decisions] == ["look", "take lamp", "light lamp"]
    assert decisions[1].admissible_commands == ("look", "wait", "take lamp")


def shown(step: ExpertStep, **settings) -> str:
    """What a model reads of a step before the question for its next action."""
    return "\n".join(message["content"] for message in Question(**settings).messages(view_of(step)))


@pytest.mark.parametrize("history", ["window", "conversation"])
def test_a_state_shows_the_past_and_never_the_action_asked_for(history):
    first, _, third = (shown(step, history=history) for step in steps_of(episode(["look", "take lamp", "burn it"])))
    assert "burn it" not in third
    assert third.index("Room 0.") < third.index("take lamp") < third.index("Room 2.")
    assert "Room 1" not in first


def test_one_file_can_be_asked_with_any_window_list_and_cut():
    step = list(steps_of(episode(["look", "take lamp", "light lamp"])))[2]
    bare = shown(step, window=0, list_commands=2)
    assert "> take lamp" not in bare
    assert "First observation:\nRoom 0." in bare  # never lost
    assert "Possible actions: look; wait\n" in bare
    assert "> take lamp" in shown(step, window=1)
    assert "Observation:\nRoom 2 …\n" in shown(step, max_characters=6)


def test_a_history_is_lean():
    played = episode(["look", "", "light lamp"])
    turns = [replace(turn, response="<action>x", thought="Hm.", score=0.5) for turn in played.turns]
    step = list(steps_of(replace(played, turns=tuple(turns))))[1]
    assert step.turn == 2
    assert step.to_json()["history"] == [["Room 0.", "look"], ["Room 1.", "", "<action>x"]]
    assert ExpertStep.from_json(step.to_json()) == step


def test_a_file_of_rendered_states_is_refused(tmp_path):
    old = {"id": "cellar/lamp/0#0", "task": TASK.to_json(), "state": "Task: …", "expert_action": "look"}
    pair = {"decision": old, "alternative": "wait", "proposer": "random", "expert_first": True}
    for name, record, read in (
        ("decisions", old, read_steps),
        ("pairs", pair, read_pairs),
        ("pairs", pair, read_steps),
    ):
        with RecordWriter(tmp_path / name) as file:
            file.write(record)
        with pytest.raises(RunError, match=r"line 1: .* rendered state.*act-gym train pairs"):
            read(tmp_path / name)


def test_a_turn_without_an_action_gives_no_decision_and_keeps_the_numbers():
    assert [step.id for step in steps_of(episode(["look", " ", "light lamp"]))] == [
        "cellar/lamp/0#0",
        "cellar/lamp/0#2",
    ]


def test_a_decision_survives_json():
    step = next(steps_of(episode(["look"])))
    assert ExpertStep.from_json(step.to_json()) == step


def test_files_give_successes_only_unless_failures_are_asked_for(tmp_path):
    lost = episode(["wait"], success=False, task=Task(id="cellar/lamp/1", benchmark="Cellar", split="t", task_type="l"))
    with RecordWriter(tmp_path / "episodes.jsonl") as file:
        file.write(episode(["look"]).to_json())
        file.write(lost.to_json())
    path = tmp_path / "episodes.jsonl"
    assert [step.id for step in expert_steps([path])] == ["cellar/lamp/0#0"]
    assert len(list(expert_steps([path], failures=True))) == 2


def test_the_same_task_twice_is_refused(tmp_path):
    path = tmp_path / "episodes.jsonl"
    with RecordWriter(path) as file:
        file.write(episode(["look"]).to_json())
    with pytest.raises(UsageError, match="a second time"):
        list(expert_steps([path, path]))


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
    together, states = list(expert_steps(paths)), ExpertStates(paths)
    assert len(states) == len(together) == 8
    assert list(states.read(range(8))) == list(enumerate(together))
    assert list(states.read({1, 6})) == [(1, together[1]), (6, together[6])]


@pytest.mark.parametrize("order", [[], [0, 3, 7], [7, 0, 3, 4]], ids=str)
def test_drawn_states_are_written_in_their_order(order, tmp_path):
    states = ExpertStates(files_of_episodes(tmp_path))
    together = list(expert_steps(files_of_episodes(tmp_path / "again")))
    states.write(tmp_path / "decisions.jsonl", order)
    written = [ExpertStep.from_json(record) for record in read_records(tmp_path / "decisions.jsonl")]
    assert written == [ExpertStep.from_json(together[number].to_json()) for number in order]


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
    assert [step.id for step in expert_steps([path])] == ids
    assert [step.id for _, step in ExpertStates([path]).read(range(3))] == ids


def test_the_experts_action_of_a_detour_is_its_label(tmp_path):
    played = episode(["dance", "take lamp", "wait"])
    labels = ("take lamp", "take lamp", "")
    turns = tuple(replace(turn, label=label) for turn, label in zip(played.turns, labels, strict=True))
    found = list(steps_of(replace(played, turns=turns)))
    assert [(step.id[-1], step.expert_action) for step in found] == [("0", "take lamp"), ("1", "take lamp")]
    assert found[0].played_action == "dance"
    assert found[1].played_action == ""
    assert [turn.action for turn in found[1].history] == ["dance"]


def test_at_a_policy_every_labelled_state_counts(tmp_path):
    played = episode(["dance", "take lamp", ""], success=False)
    labels = ("take lamp", "Take lamp", "light lamp")
    turns = tuple(replace(turn, label=label) for turn, label in zip(played.turns, labels, strict=True))
    path = tmp_path / "episodes.jsonl"
    with RecordWriter(path) as file:
        file.write(replace(played, turns=turns).to_json())
        file.write(replace(episode(["look"]), seed=1).to_json())  # nobody labelled it
    assert len(ExpertStates([path])) == 1
    states = ExpertStates([path], "policy")
    assert [step.played_action for _, step in states.read(range(len(states)))] == ["dance", "", ""]
    with RecordWriter(tmp_path / "none.jsonl") as file:
        file.write(episode(["look"]).to_json())
    with pytest.raises(UsageError, match="label"):
        ExpertStates([tmp_path / "none.jsonl"], "policy")


def test_steps_keep_the_texts_that_cost_no_move_and_write_changes():
    played = episode(["look", "wait", "wait", "go"])
    texts = [{"look": room, "inventory": "nothing"} for room in ("Hall.", "Hall.", "Cellar.", "Cellar.")]
    turns = tuple(replace(turn, observed=one) for turn, one in zip(played.turns, texts, strict=True))
    last = list(steps_of(replace(played, turns=turns)))[3]
    assert [turn.observed for turn in last.history] == texts[:3]
    record = last.to_json()
    assert [more[3:] for more in record["history"]] == [[texts[0]], [], [{"look": "Cellar."}]]
    assert ExpertStep.from_json(record) == last
    del record["observed"]
    record["history"] = [one[:2] for one in record["history"]]
    assert ExpertStep.from_json(record).observed == {}, "files without these texts are read"
