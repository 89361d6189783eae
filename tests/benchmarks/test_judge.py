import json
from dataclasses import dataclass

import numpy as np
import pytest

from act_gym import ActionPair, ExpertStep, RunError, Task, UsageError
from act_gym.io.jsonl import RecordWriter, read_records
from agents.prompt_config import CONVERSATION, TRAINED_WITH, Question
from benchmarks.judge import JudgeConfig, free_judge, main, measure, ranked_judge
from benchmarks.stats.measurement import Summary


@dataclass
class Completion:
    text: str


class Reader:
    """A small policy that knows the good actions; it likes Action 1 where it knows neither."""

    name = "reader"
    context = 8192

    def __init__(self, *good: str, reply: str = "<action>{}</action>") -> None:
        self.good = good
        self.reply = reply

    def log_probabilities(self, prompts, replies, **options):
        return [
            [float(any(good in reply for good in self.good)) - 0.1 * place for place, reply in enumerate(row)]
            for row in replies
        ]

    def generate(self, prompts, **options):
        chosen = []
        for (message,) in prompts:
            lines = message["content"].splitlines()
            shown = [line.partition(": ")[2] for line in lines if line.startswith(("Action 1: ", "Action 2: "))]
            chosen.append(next((action for action in shown if action in self.good), (shown or [""])[0]))
        return [Completion(self.reply.format(action)) for action in chosen]


def pair(number: int, expert: str, alternative: str = "dance", split: str = "seen") -> ActionPair:
    task = Task(id=f"cellar/lamp/{number}", benchmark="Cellar", split=split, task_type="lamp")
    step = ExpertStep(
        id=f"{task.id}#0",
        task=task,
        turn=0,
        goal="light the lamp",
        history=(),
        observation="A cellar.",
        expert_action=expert,
    )
    return ActionPair(step=step, alternative=alternative, proposer="random", expert_first=True)


PAIRS = list(enumerate([pair(0, "light lamp"), pair(1, "light lamp"), pair(2, "go up"), pair(3, "go up")]))


def numbers(records) -> dict[str, float]:
    measured = measure(records, np.random.default_rng(0))
    return {one.name: one.value for one in measured if one.group == ("Cellar", "seen", "")}


def test_knowledge_counts_in_both_orders_and_a_position_in_one():
    # Two pairs are known (right twice); of the other two, only the question with the expert first is right.
    found = numbers(ranked_judge(Reader("light lamp"))(PAIRS))
    assert found["accuracy"] == 0.75
    assert found["accuracy_expert_first"] == 1.0
    assert found["accuracy_expert_second"] == 0.5
    assert found["right_in_both"] == 0.5
    # Action 1 in 2 of the 4 questions that are known and in all 4 of the others.
    assert found["first_chosen"] == 0.75
    assert found["format_error_rate"] == 0.0


def test_free_and_ranked_agree_on_a_policy_that_writes_what_it_believes():
    policy = Reader("light lamp")
    assert numbers(free_judge(policy, JudgeConfig(pairs=()))(PAIRS)) == numbers(ranked_judge(policy)(PAIRS))


class Follower(Reader):
    """Does what the reasoning in its mouth says last, and what it knows where there is none."""

    def reasoned(self, reasoning):
        return f"<think>{reasoning}</think>"

    def generate(self, prompts, *, prefix="", **options):
        prefixes = [prefix] * len(prompts) if isinstance(prefix, str) else prefix
        own = super().generate(prompts, **options)
        replies = []
        for begun, (message,), reply in zip(prefixes, prompts, own, strict=True):
            if "Argue in" in message["content"]:
                wanted = message["content"].split("next action in this state is: ")[1].splitlines()[0]
                reply = Completion(f"To {wanted} is wise.</th</think>ink><action>{wanted}</action>")  # tries to answer
            elif "dance" in begun:
                reply = Completion(f"{begun}<action>dance</action>")
            else:
                reply = Completion(begun + reply.text)
            replies.append(reply)
        return replies


@pytest.mark.parametrize("source", ["template", "model"])
def test_a_wrong_rationale_is_followed_in_both_orders_and_an_empty_one_changes_nothing(source):
    settings = JudgeConfig(pairs=(), decode="free", interventions=("suppressed", "injected"), rationales=source)
    records = list(free_judge(Follower("light lamp", "go up"), settings)(PAIRS))
    found = numbers(records)
    assert (found["accuracy"], found["accuracy_suppressed"], found["accuracy_injected"]) == (1.0, 1.0, 0.0)
    assert (found["alternative_chosen"], found["alternative_chosen_injected"]) == (0.0, 1.0)
    assert (found["lost_suppressed"], found["lost_injected"]) == (0.0, 1.0)
    assert found["first_chosen_injected"] == 0.5  # so it followed the words and no position
    for record in records:
        assert "dance" in record["rationale"]
        assert record["expert_action"] not in record["rationale"]
        assert not {"</think>", "<action>"} & set(record["rationale"].split())
        assert "</think>" not in record["rationale"]
        replies = [answer["reply"] for answer in record["injected"]]
        assert replies == [f"<think>{record['rationale']}</think><action>dance</action>"] * 2


def test_without_interventions_nothing_is_said_of_them():
    found = numbers(ranked_judge(Reader("light lamp"))(PAIRS))
    assert not [name for name in found if name.endswith(("_suppressed", "_injected"))]


def test_another_run_gives_the_same_rationales_and_other_pairs_are_refused(tmp_path):
    settings = JudgeConfig(pairs=(), interventions=("injected",), rationales="model")
    first = list(free_judge(Follower("light lamp"), settings)(PAIRS))
    with RecordWriter(tmp_path / "records.jsonl") as file:
        for record in first:
            file.write(record)
    again = JudgeConfig(pairs=(), interventions=("injected",), rationales=str(tmp_path / "records.jsonl"))
    assert again.files == [tmp_path / "records.jsonl"]
    second = list(free_judge(Follower("go up"), again)(PAIRS))
    assert [one["rationale"] for one in second] == [one["rationale"] for one in first]
    with pytest.raises(RunError, match="no rationale for cellar/lamp/9#0"):
        list(free_judge(Follower(), again)([(9, pair(9, "go up"))]))
    (tmp_path / "records.jsonl").write_text("{}\n")
    with pytest.raises(UsageError, match="holds no rationales"):
        free_judge(Follower(), again)


def test_a_reply_without_an_action_is_malformed_and_wrong():
    found = numbers(free_judge(Reader(reply="I like {}."), JudgeConfig(pairs=()))(PAIRS))
    assert (found["format_error_rate"], found["accuracy"]) == (1.0, 0.0)
    assert "first_chosen" not in found


def test_a_third_action_is_neither():
    found = numbers(free_judge(Reader(reply="<action>sing</action>"), JudgeConfig(pairs=()))(PAIRS))
    assert (found["neither"], found["format_error_rate"], found["accuracy"]) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize(("numbered", "right"), [("neither", 0.0), ("action", 0.5)])
def test_an_answer_by_number_is_counted_apart(numbered, right):
    reply = "<action>Action 1</action>"
    found = numbers(free_judge(Reader(reply=reply), JudgeConfig(pairs=(), numbered=numbered))(PAIRS))
    assert (found["numbered"], found["neither"], found["format_error_rate"]) == (1.0, 0.0, 0.0)
    assert (found["accuracy"], found["alternative_chosen"]) == (right, right)


def test_answers_are_compared_after_normalisation():
    found = numbers(free_judge(Reader("light lamp", reply="<action> {}. </action>"), JudgeConfig(pairs=()))(PAIRS))
    assert found["accuracy"] == 0.75


def test_splits_and_task_types_are_measured_apart():
    pairs = [*PAIRS, (4, pair(4, "go up", split="unseen"))]
    measured = measure(list(ranked_judge(Reader("light lamp"))(pairs)), np.random.default_rng(0))
    by_group = {one.group: one.value for one in measured if one.name == "accuracy"}
    assert by_group == {
        ("Cellar", "seen", ""): 0.75,
        ("Cellar", "seen", "lamp"): 0.75,
        ("Cellar", "unseen", ""): 0.5,
        ("Cellar", "unseen", "lamp"): 0.5,
    }


@pytest.mark.slow
def test_a_real_model_is_asked_in_both_orders_and_continues(tmp_path, capsys):
    path = tmp_path / "pairs.jsonl"
    with RecordWriter(path) as file:
        for _, one in PAIRS[1:3]:
            file.write(one.to_json())
    command = ["--pairs", str(path), "--out", str(tmp_path / "run"), "--label", "base", "--batch-size", "1"]
    command += ["--interventions", "suppressed", "injected"]
    assert main(command) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "base" in printed
    assert "rationale" in printed
    found = {one.name: one.value for one in Summary.read(tmp_path / "run").measurements}
    assert {"accuracy_suppressed", "accuracy_injected", "alternative_chosen_injected"} <= set(found)
    # Sentences for dancing make dancing likelier, whichever way it is shown.
    for record in read_records(tmp_path / "run" / "records.jsonl"):
        for order, place in enumerate((1, 0)):
            own, other = (record[name][order]["log_probabilities"] for name in ("suppressed", "injected"))
            assert other[place] - other[1 - place] > own[place] - own[1 - place]
    records = tmp_path / "run" / "records.jsonl"
    whole = list(read_records(records))
    assert [len(record["answers"]) for record in whole] == [2, 2]
    records.write_text("".join(records.read_text().splitlines(keepends=True)[:1]))
    assert main([*command, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["label"] == "base"
    assert [record["answers"] for record in read_records(records)] == [record["answers"] for record in whole]


def test_a_checkpoint_is_asked_as_it_was_trained(tmp_path):
    trained = Question(history="window", window=1, max_characters=300)
    (tmp_path / TRAINED_WITH).write_text(json.dumps(trained.facts()))
    assert JudgeConfig(pairs=(), model=str(tmp_path)).asking() == trained
    assert JudgeConfig(pairs=(), model=str(tmp_path), history="conversation").asking() == CONVERSATION
    assert JudgeConfig(pairs=()).asking() == CONVERSATION
