from dataclasses import dataclass

import pytest

from act_gym import ActionPair, ExpertStep, RunError, Task, UsageError
from act_gym.io.jsonl import RecordWriter, read_records
from benchmarks.next_action import NextActionConfig, free_actor, main, measure, ranked_actor
from benchmarks.stats.measurement import Summary


@dataclass
class Completion:
    text: str


class Alphabetical:
    """A small policy that likes the first command in the alphabet, and writes the same line always."""

    name = "alphabetical"
    context = 8192

    def __init__(self, line: str = "") -> None:
        self.line = line

    def rank(self, prompts, commands, *, top=1, **options):
        return [[(command, -1.0 - place) for place, command in enumerate(sorted(row))][:top] for row in commands]

    def generate(self, prompts, **options):
        return [Completion(self.line) for _ in prompts]


def step(number: int, expert: str, commands: tuple[str, ...] = ("ask", "beg", "cry")) -> ExpertStep:
    task = Task(id=f"cellar/lamp/{number}", benchmark="Cellar", split="seen", task_type="lamp")
    return ExpertStep(
        id=f"{task.id}#0",
        task=task,
        turn=0,
        goal="light the lamp",
        history=(),
        observation="A cellar.",
        expert_action=expert,
        admissible_commands=commands,
    )


DECISIONS = list(enumerate([step(0, "ask"), step(1, "Ask."), step(2, "beg"), step(3, "sing")]))


def numbers(records) -> dict[str, float]:
    return {one.name: one.value for one in measure(records) if one.group == ("Cellar", "seen", "")}


def test_ranked_takes_the_likeliest_command_and_compares_normalised():
    found = numbers(ranked_actor(Alphabetical())(DECISIONS))
    assert found == {
        "accuracy": 0.5,
        "format_error_rate": 0.0,
        "admissible": 1.0,
        "expert_admissible": 0.75,
        "candidates": 3.0,
    }


def test_free_counts_malformed_and_inadmissible_replies():
    found = numbers(free_actor(Alphabetical("<action>sing</action>"), NextActionConfig(decisions=()))(DECISIONS))
    assert (found["accuracy"], found["admissible"], found["format_error_rate"]) == (0.25, 0.0, 0.0)
    found = numbers(free_actor(Alphabetical("sing"), NextActionConfig(decisions=()))(DECISIONS))
    assert (found["accuracy"], found["admissible"], found["format_error_rate"]) == (0.0, 0.0, 1.0)


def test_words_in_the_place_of_a_blank_are_admissible():
    asked = [(0, step(0, "search[red shoes]", commands=("search[<query>]",)))]
    found = numbers(free_actor(Alphabetical("<action>search[shoes]</action>"), NextActionConfig(decisions=()))(asked))
    assert (found["accuracy"], found["admissible"]) == (0.0, 1.0)
    assert found["expert_admissible"] == 0.0  # ranked cannot write the expert's words


def test_ranking_without_commands_is_refused_with_the_way_out():
    with pytest.raises(UsageError, match="--decode free"):
        list(ranked_actor(Alphabetical())([(0, step(0, "ask", commands=()))]))


def test_free_without_commands_claims_nothing_about_admissibility():
    records = free_actor(Alphabetical("<action>ask</action>"), NextActionConfig(decisions=()))(
        [(0, step(0, "ask", ()))]
    )
    assert numbers(records) == {"accuracy": 1.0, "format_error_rate": 0.0, "candidates": 0.0}


def test_an_injected_action_is_followed_or_not():
    class Obedient(Alphabetical):
        def reasoned(self, reasoning):
            return f"<think>{reasoning}</think>"

        def generate(self, prompts, *, prefix, **options):
            prefixes = [prefix] * len(prompts) if isinstance(prefix, str) else prefix
            return [Completion(f"{one}<action>{'cry' if 'cry' in one else 'ask'}</action>") for one in prefixes]

    pairs = [
        (number, ActionPair(step=one, alternative="cry", proposer="random", expert_first=True))
        for number, one in DECISIONS
    ]
    settings = NextActionConfig(decisions=(), interventions=("suppressed", "injected"))
    found = numbers(free_actor(Obedient(), settings)(pairs))
    assert (found["accuracy"], found["accuracy_suppressed"], found["accuracy_injected"]) == (0.5, 0.5, 0.0)
    assert (found["alternative_chosen"], found["alternative_chosen_injected"]) == (0.0, 1.0)
    with pytest.raises(UsageError, match=r"Give pairs\.jsonl as --decisions"):
        list(free_actor(Obedient(), settings)(DECISIONS))


@pytest.mark.slow
def test_a_real_model_acts_after_reasoning_that_is_not_its_own(tmp_path):
    path = tmp_path / "pairs.jsonl"
    with RecordWriter(path) as file:
        for _, one in DECISIONS[:2]:
            pair = ActionPair(step=one, alternative="cry", proposer="random", expert_first=True)
            file.write(pair.to_json())
    command = ["--decisions", str(path), "--out", str(tmp_path / "run"), "--interventions", "suppressed", "injected"]
    assert main(command) == 0
    found = {one.name: one.value for one in Summary.read(tmp_path / "run").measurements}
    assert found["alternative_chosen_injected"] == 1.0  # a sentence that names `cry` twice, and three commands
    assert found["expert_admissible"] == 1.0


@pytest.mark.slow
def test_a_real_model_leaves_a_summary_and_will_not_mix_two_runs(tmp_path, capsys):
    path = tmp_path / "decisions.jsonl"
    with RecordWriter(path) as file:
        for _, one in DECISIONS:
            file.write(one.to_json())
    command = ["--decisions", str(path), "--out", str(tmp_path / "run"), "--label", "base"]
    assert main(command) == 0
    assert "next action" in capsys.readouterr().out
    summary = Summary.read(tmp_path / "run")
    assert (summary.kind, summary.label) == ("next_action", "base")
    assert summary.subject.endswith(":ranked")
    assert {record["action"] for record in read_records(tmp_path / "run" / "records.jsonl")} <= {"ask", "beg", "cry"}
    with pytest.raises(RunError, match=r"seed\b"):
        main([*command, "--resume", "--seed", "1"])
