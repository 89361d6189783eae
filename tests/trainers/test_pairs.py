import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from act_gym import ActionPair, Episode, ExpertStep, RunError, Task, Turn, UsageError
from act_gym.io.jsonl import RecordWriter, read_records
from trainers.data.proposers import Free, Random, Ranked
from trainers.pairs import main

COMMANDS = tuple(sorted([f"open door {number}" for number in range(20)] + ["look", "take lamp", "Take  lamp."]))


def step(number: int = 0, commands: tuple[str, ...] = COMMANDS, expert: str = "take lamp") -> ExpertStep:
    task = Task(id=f"cellar/lamp/{number}", benchmark="Cellar", split="train", task_type="lamp")
    return ExpertStep(
        id=f"{task.id}#0",
        task=task,
        turn=0,
        goal="Take the lamp.",
        history=(),
        observation=f"Cellar {number}.",
        expert_action=expert,
        admissible_commands=commands,
    )


def write_episodes(path: Path, count: int, turns: int = 4) -> Path:
    with RecordWriter(path) as file:
        for number in range(count):
            task = Task(id=f"cellar/lamp/{number}", benchmark="Cellar", split="train", task_type=f"lamp-{number % 2}")
            played = tuple(
                Turn(observation=f"Room {turn}.", admissible_commands=COMMANDS, action="take lamp")
                for turn in range(turns)
            )
            episode = Episode(
                task=task,
                env_id="act/Cellar-train",
                agent="expert",
                seed=0,
                goal="Take the lamp.",
                turns=played,
                final_observation="",
                success=True,
                score=1.0,
                raw_score=1.0,
                stop="terminated",
            )
            file.write(episode.to_json())
    return path


def pairs_in(folder: Path) -> list[ActionPair]:
    return [ActionPair.from_json(record) for record in read_records(folder / "pairs.jsonl")]


class Ranker:
    """A deterministic policy: its log-probability of a command falls with the command's place."""

    name = "ranker"
    context = 8192

    def rank(self, prompts, commands, *, top=1, thinking=False):
        return [[(command, -0.5 * place) for place, command in enumerate(row[:top])] for row in commands]


class Writer:
    """A deterministic policy that writes from a script, one line a call, the same to every prompt."""

    name = "writer"
    context = 8192

    def __init__(self, *lines: str) -> None:
        self.lines = iter(lines)
        self.seeds: list[int] = []

    def generate(self, prompts, *, seeds, **options):
        self.seeds += seeds
        return [Line(next(self.lines)) for _ in prompts]


class Line:
    def __init__(self, text: str) -> None:
        self.text = text


def test_random_alternatives_are_admissible_and_never_the_experts_in_other_letters():
    for seed in range(50):
        (proposal,) = Random(seed).propose([step()], 1)
        assert proposal.alternatives[0] in COMMANDS
        assert proposal.alternatives[0] not in ("take lamp", "Take  lamp.")


def test_several_alternatives_are_distinct_and_no_more_than_there_are():
    (proposal,) = Random(0).propose([step()], 100)
    assert sorted(proposal.alternatives) == sorted(set(COMMANDS) - {"take lamp", "Take  lamp."})


def test_a_state_where_only_the_experts_action_is_admissible_gives_no_alternative():
    for proposer in (Random(0), Ranked(Ranker(), 0)):
        (proposal,) = proposer.propose([step(commands=("take lamp",))], 1)
        assert proposal.alternatives == ()


def test_a_command_that_is_still_to_be_filled_in_is_no_alternative():
    for proposer in (Random(0), Ranked(Ranker(), 0)):
        asked = [
            step(commands=("search[<query>]",)),
            step(1, commands=("search[<query>]", "look", "take lamp")),
        ]
        proposals = proposer.propose(asked, 3)
        assert [proposal.alternatives for proposal in proposals] == [(), ("look",)]


def test_ranked_alternatives_follow_the_policys_distribution():
    # Log-probabilities 0 and -0.5 renormalise to 0.622 and 0.378; the expert's own place is left out.
    asked = [step(number, commands=("look", "wait", "take lamp")) for number in range(2000)]
    drawn = [proposal.alternatives[0] for proposal in Ranked(Ranker(), 0).propose(asked, 1)]
    assert drawn.count("look") / len(drawn) == pytest.approx(0.622, abs=0.035)
    assert set(drawn) == {"look", "wait"}


def test_an_alternative_does_not_depend_on_the_batch_it_was_asked_in():
    asked = [step(number) for number in range(8)]
    together = Ranked(Ranker(), 3).propose(asked, 2)
    alone = [Ranked(Ranker(), 3).propose([one], 2)[0] for one in asked]
    assert together == alone


def test_free_drops_unreadable_replies_and_asks_again():
    policy = Writer("I would look.", "<action>look</action>")
    (proposal,) = Free(policy, 0, tries=3).propose([step()], 1)
    assert proposal.alternatives == ("look",)
    assert proposal.unreadable == 1
    assert len(set(policy.seeds)) == 2


def test_free_gives_up_after_its_tries():
    (proposal,) = Free(Writer("no", "no", "no", "<action>look</action>"), 0, tries=3).propose([step()], 1)
    assert proposal.alternatives == ()
    assert proposal.unreadable == 3


def test_a_free_reply_equal_to_the_expert_discards_the_state():
    (proposal,) = Free(Writer("<action>TAKE lamp.</action>", "<action>look</action>"), 0).propose([step()], 1)
    assert proposal.alternatives == ()
    assert proposal.matched == 1


def test_free_counts_matches_and_repetitions_among_several():
    policy = Writer(*(f"<action>{action}</action>" for action in ("look", "Look", "take lamp", "dance")))
    (proposal,) = Free(policy, 0).propose([step()], 4)
    assert proposal.alternatives == ("look", "dance")
    assert (proposal.matched, proposal.repeated) == (1, 1)


def test_the_program_writes_pairs_decisions_and_a_data_sheet(tmp_path, capsys):
    episodes = write_episodes(tmp_path / "episodes.jsonl", 10)
    assert main(["--episodes", str(episodes), "--proposer", "random", "--out", str(tmp_path / "run")]) == 0
    pairs = pairs_in(tmp_path / "run")
    assert len(pairs) == 40
    assert [pair.step for pair in pairs] == [
        ExpertStep.from_json(record) for record in read_records(tmp_path / "run" / "decisions.jsonl")
    ]
    assert 0.25 < sum(pair.expert_first for pair in pairs) / 40 < 0.75
    sheet = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (sheet["states"], sheet["pairs"], sheet["states_without_pair"]) == (40, 40, 0)
    assert sheet["task_types"] == {"lamp-0": 20, "lamp-1": 20}
    assert sheet["alternative_admissible"] == 1.0
    assert "40 pairs from 40 expert states" in capsys.readouterr().out


def test_several_alternatives_a_state_share_the_decision(tmp_path):
    episodes = write_episodes(tmp_path / "episodes.jsonl", 1, turns=1)
    main(["--episodes", str(episodes), "--proposer", "random", "--per-state", "3", "--out", str(tmp_path / "run")])
    pairs = pairs_in(tmp_path / "run")
    assert len({pair.alternative for pair in pairs}) == 3
    assert len({pair.step.id for pair in pairs}) == 1


def test_another_models_pairs_are_reused_as_they_are(tmp_path):
    episodes = write_episodes(tmp_path / "episodes.jsonl", 3)
    main(["--episodes", str(episodes), "--proposer", "random", "--out", str(tmp_path / "first")])
    main(["--reuse", str(tmp_path / "first" / "pairs.jsonl"), "--out", str(tmp_path / "second")])
    assert pairs_in(tmp_path / "second") == pairs_in(tmp_path / "first")
    assert (tmp_path / "second" / "decisions.jsonl").read_bytes() == (
        tmp_path / "first" / "decisions.jsonl"
    ).read_bytes()


def test_a_run_killed_half_way_continues_to_the_same_bytes(tmp_path):
    episodes = write_episodes(tmp_path / "episodes.jsonl", 300)
    command = ["--episodes", str(episodes), "--proposer", "random", "--per-state", "2"]
    main([*command, "--out", str(tmp_path / "whole")])
    process = subprocess.Popen(
        [sys.executable, "-m", "trainers.pairs", *command, "--out", str(tmp_path / "cut")],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    log = tmp_path / "cut" / "proposals.jsonl"
    for _ in range(20_000):
        if (log.exists() and log.stat().st_size > 2000) or process.poll() is not None:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 0 < len(list(read_records(log))) < 1200
    with pytest.raises(RunError, match="--resume"):
        main([*command, "--out", str(tmp_path / "cut")])
    main([*command, "--out", str(tmp_path / "cut"), "--resume"])
    for name in ("pairs.jsonl", "decisions.jsonl", "proposals.jsonl", "summary.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_limit_draws_states_from_everywhere(tmp_path):
    episodes = write_episodes(tmp_path / "episodes.jsonl", 20)
    main(["--episodes", str(episodes), "--proposer", "random", "--limit", "20", "--out", str(tmp_path / "run")])
    assert len({pair.step.task.id for pair in pairs_in(tmp_path / "run")}) > 5


def test_a_count_of_pairs_is_reached_exactly_with_the_states_that_were_asked(tmp_path):
    episodes = write_episodes(tmp_path / "episodes.jsonl", 20)
    command = ["--episodes", str(episodes), "--proposer", "random", "--per-state", "3", "--count", "31"]
    main([*command, "--out", str(tmp_path / "run")])
    states = {record["id"] for record in read_records(tmp_path / "run" / "decisions.jsonl")}
    assert len(pairs_in(tmp_path / "run")) == 31
    assert states == {pair.step.id for pair in pairs_in(tmp_path / "run")}
    assert len({state.partition("#")[0] for state in states}) > 5
    # Killed between the last pair and the note that its state is finished.
    files = [tmp_path / "run" / name for name in ("pairs.jsonl", "decisions.jsonl", "proposals.jsonl")]
    whole = [file.read_bytes() for file in files]
    files[2].write_bytes(b"".join(whole[2].splitlines(keepends=True)[:-1]))
    main([*command, "--out", str(tmp_path / "run"), "--resume"])
    assert [file.read_bytes() for file in files] == whole


def test_a_count_that_needs_more_states_draws_them(tmp_path):
    # A state whose only other command is the expert's gives no pair, so most states that are drawn first do not.
    episodes = tmp_path / "episodes.jsonl"
    write_episodes(episodes, 400, turns=1)
    lines = [json.loads(line) for line in episodes.read_text().splitlines()]
    for number, line in enumerate(lines):
        if number % 8:
            line["turns"][0]["admissible_commands"] = ["take lamp"]
    episodes.write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = ["--episodes", str(episodes), "--proposer", "random"]
    main([*command, "--count", "40", "--out", str(tmp_path / "run")])
    assert len(pairs_in(tmp_path / "run")) == 40
    asked = [record["id"] for record in read_records(tmp_path / "run" / "proposals.jsonl")]
    assert [record["id"] for record in read_records(tmp_path / "run" / "decisions.jsonl")] == asked
    assert 114 < len(asked) < 400
    main([*command, "--count", "60", "--out", str(tmp_path / "all")])
    assert len(pairs_in(tmp_path / "all")) == 50
    assert len(list(read_records(tmp_path / "all" / "decisions.jsonl"))) == 400


def test_no_more_than_a_batch_of_states_is_in_memory(tmp_path):
    def peak(count: int) -> int:
        """The most that Python has allocated, in bytes, while pairs are made from so many states."""
        folder = tmp_path / str(count)
        write_large_episodes(folder / "episodes.jsonl", count)
        command = ["--episodes", str(folder / "episodes.jsonl"), "--proposer", "random", "--batch-size", "2"]
        tracemalloc.start()
        try:
            main([*command, "--count", str(count * 4), "--out", str(folder / "run")])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small, large = peak(4), peak(32)
    assert large < 1.5 * small


def write_large_episodes(path: Path, count: int) -> None:
    """Episodes of four turns with 4,000 commands each, about a third of a MiB a turn."""
    commands = [f"move the object number {number} to the object" for number in range(4000)]
    write_episodes(path, count, turns=4)
    with path.open() as file:
        lines = [json.loads(line) for line in file]
    with path.open("w") as file:
        for line in lines:
            for turn in line["turns"]:
                turn["admissible_commands"] = commands
            file.write(json.dumps(line) + "\n")


@pytest.mark.parametrize(
    "arguments", [[], ["--episodes", "a", "--reuse", "b"], ["--reuse", "b", "--per-state", "0"]], ids=str
)
def test_contradicting_arguments_are_refused(arguments, tmp_path):
    with pytest.raises(UsageError):
        main([*arguments, "--out", str(tmp_path / "run")])


@pytest.mark.slow
@pytest.mark.parametrize("propose", ["ranked", "free"])
def test_a_real_model_proposes_and_is_named(propose, tmp_path, capsys):
    episodes = write_episodes(tmp_path / "episodes.jsonl", 1, turns=2)
    command = ["--episodes", str(episodes), "--proposer", propose, "--tries", "1", "--max-new-tokens", "8"]
    assert main([*command, "--prefix", "<action>", "--out", str(tmp_path / "run")]) == 0
    pairs = pairs_in(tmp_path / "run")
    assert all(pair.proposer == f"SmolLM2-135M-Instruct:{propose}" for pair in pairs)
    if propose == "ranked":
        assert len(pairs) == 2
        assert all(pair.alternative in COMMANDS for pair in pairs)
    outcomes = list(read_records(tmp_path / "run" / "proposals.jsonl"))
    assert [outcome["id"] for outcome in outcomes] == ["cellar/lamp/0#0", "cellar/lamp/0#1"]


def test_what_a_policy_played_is_paired_with_the_label(tmp_path, capsys):
    """Three turns: another action than the label, the label in other letters, and no action at all."""
    (record,) = read_records(write_episodes(tmp_path / "expert.jsonl", 1, turns=4))
    for turn, (action, label) in zip(
        record["turns"],
        [("dance", "take lamp"), ("Take  lamp.", "take lamp"), ("", "look"), ("wait", "")],
        strict=True,
    ):
        turn |= {"action": action, "label": label, "admissible_commands": []}
    with RecordWriter(tmp_path / "episodes.jsonl") as file:
        file.write({**record, "success": False})
    command = ["--episodes", str(tmp_path / "episodes.jsonl"), "--at", "policy", "--proposer", "played"]
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    (pair,) = pairs_in(tmp_path / "run")
    assert (pair.step.expert_action, pair.alternative, pair.proposer) == ("take lamp", "dance", "played")
    assert len(list(read_records(tmp_path / "run" / "decisions.jsonl"))) == 3
    assert "1 pairs from 3 expert states (2 states gave none)" in capsys.readouterr().out


def test_the_windows_of_a_file_can_change_without_another_proposal(tmp_path):
    episodes = write_episodes(tmp_path / "episodes.jsonl", 3)
    for name, more in (("a", ()), ("b", ("--history", "window", "--window", "1"))):
        main(["--episodes", str(episodes), "--proposer", "random", "--out", str(tmp_path / name), *more])
    assert (tmp_path / "a" / "pairs.jsonl").read_bytes() == (tmp_path / "b" / "pairs.jsonl").read_bytes()
