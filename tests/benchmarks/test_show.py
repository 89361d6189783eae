"""`act-gym show`: episodes and prompts of a run in the terminal."""

import pytest

from act_gym.errors import RunError, UsageError
from act_gym.io.jsonl import read_records
from benchmarks import evaluate
from benchmarks.show import main
from tests.benchmarks.html_report.written import HOSTILE, episode_of, hostile_turns, turns_of, write_episodes
from tests.tiny_models import save_with_tokenizer


def test_a_run_is_listed_and_a_task_found_by_a_part_of_its_id(tmp_path, capsys):
    run = write_episodes(tmp_path, "base", [episode_of(n, "base", turns=turns_of("go", "look")) for n in range(3)])
    main([str(run)])
    assert len(capsys.readouterr().out.splitlines()) == 3
    main([str(run), "--task", "lamp/1", "--turn", "2"])
    shown = capsys.readouterr().out
    assert "You are in room 1." in shown
    assert "> look" in shown
    assert "room 0" not in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--task", "lamp"), "3 tasks of this run"),
        (("--task", "candle"), "No episode of 'candle'"),
        (("--task", "lamp/1", "--seed", "7"), "with seed 7"),
        (("--task", "lamp/1", "--turn", "9"), "turns 1 to 2; got 9"),
        (("--prompt",), "--task ID --turn NUMBER"),
    ],
)
def test_a_question_about_nothing_says_what_there_is(tmp_path, words, message):
    run = write_episodes(tmp_path, "base", [episode_of(n, "base", turns=turns_of("go", "look")) for n in range(3)])
    with pytest.raises(UsageError, match=message):
        main([str(run), *words])


def test_an_agent_that_was_asked_nothing_has_no_prompt(tmp_path):
    out = tmp_path / "run"
    evaluate.main(["--env", "act/ALFWorld-generated-seen", "--limit", "1", "--max-turns", "2", "--out", str(out)])
    (record,) = read_records(out / "episodes.jsonl")
    with pytest.raises(RunError, match="does not say how a model was asked"):
        main([str(out), "--task", record["task"]["id"], "--turn", "1", "--prompt"])


def test_what_a_model_wrote_is_shown_and_is_text(tmp_path, capsys):
    run = write_episodes(tmp_path, "base", [episode_of(0, "base", turns=hostile_turns(HOSTILE))])
    main([str(run), "--task", "lamp/0"])
    assert "alert(1)" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("history", ["window", "conversation"])
def test_the_prompt_of_a_turn_is_shown_as_it_was_read(tmp_path, capsys, history):
    model, out = save_with_tokenizer(tmp_path / "model"), tmp_path / "run"
    words = ["--agent", "local", "--model", str(model)]
    words += ["--env", "act/ALFWorld-generated-seen", "--limit", "1", "--max-turns", "3", "--out", str(out)]
    evaluate.main([*words, "--agent-options", f"history={history}", "max_new_tokens=4"])
    (record,) = read_records(out / "episodes.jsonl")
    capsys.readouterr()
    main([str(out), "--task", record["task"]["id"], "--turn", "3", "--prompt"])
    shown = capsys.readouterr().out
    assert shown.startswith("This is the prompt of the run")
    assert shown.count("[user]") == (3 if history == "conversation" else 1)
    assert f"[text of {record['turns'][2]['prompt_tokens']} tokens]" in shown
    assert shown.endswith("<|im_start|>assistant\n\n")
    assert record["goal"] in shown
