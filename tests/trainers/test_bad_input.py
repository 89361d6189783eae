"""Bad input at the command line: one clear message, no traceback, and no run folder."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

from act_gym.cli import main
from act_gym.io.jsonl import write_records
from act_gym.types import Episode, Task, Turn
from agents.prompt_config import CONVERSATION, TRAINED_WITH

ENV = "act/ALFWorld-generated-train"


def written(path: Path, benchmark: str) -> Path:
    turn = Turn(observation="A hall.", action="look", label="look")
    episode = Episode(
        task=Task(id="x/y/0", benchmark=benchmark, split="train", task_type="y"),
        env_id=f"act/{benchmark}-train",
        agent="expert",
        seed=0,
        goal="Look.",
        turns=(turn, turn),
        final_observation="Done.",
        success=True,
        score=1.0,
        raw_score=1.0,
        stop="terminated",
    )
    write_records(path, [episode.to_json()])
    return path


def refused(words: list[str], out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that fails, and return its message."""
    assert main(["train", *words, "--out", str(out)]) in (1, 2)
    message = capsys.readouterr().err
    assert message.count("act-gym: ") == 1
    assert "Traceback" not in message
    assert not out.exists()
    return message


@pytest.mark.parametrize("stage", ["dagger", "rft"])
def test_episodes_of_another_benchmark_are_refused(
    stage: str, tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "episodes.jsonl", "ScienceWorld")
    words = [stage, "--env", ENV, "--model", str(tiny_model), "--episodes", str(path)]
    assert "holds episodes of ScienceWorld, and --env plays ALFWorld" in refused(words, tmp_path / "run", capsys)


def test_a_file_that_holds_no_episodes_is_named_with_line_and_key(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"task": {"id": "x", "benchmark": "ALFWorld", "split": "train", "task_type": "y"}}\n')
    words = ["imitation", "--model", str(tiny_model), "--episodes", str(path)]
    expected = f"{path}, line 1, is no Episode: the key 'turns' is missing."
    assert expected in refused(words, tmp_path / "run", capsys)


def test_an_expert_that_cannot_label_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["dagger", "--env", "act/ScienceWorld-train"]
    message = refused(words, tmp_path / "run", capsys)
    assert "The search expert labels ALFWorld's states; act/ScienceWorld-train is of ScienceWorld" in message


def test_a_prompt_set_without_a_place_is_refused(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "mine"
    shutil.copytree(str(files("agents") / "prompt_sets" / "default"), own)
    (own / "act.txt").write_text("$environment $goal $reply")
    path = written(tmp_path / "episodes.jsonl", "ALFWorld")
    words = ["imitation", "--model", str(tiny_model), "--prompts", str(own), "--episodes", str(path)]
    assert "lacks $observation" in refused(words, tmp_path / "run", capsys)


def test_a_chat_template_without_a_place_for_history_is_refused(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    template = "<|im_start|>{{ messages[-1]['content'] }}<|im_end|>"
    settings = json.loads((model / "tokenizer_config.json").read_text()) | {"chat_template": template}
    (model / "tokenizer_config.json").write_text(json.dumps(settings))
    (model / "chat_template.jinja").write_text(template)
    path = written(tmp_path / "episodes.jsonl", "ALFWorld")
    words = ["imitation", "--model", str(model), "--episodes", str(path)]
    assert "The chat template does not write a question and its answer as they are given" in refused(
        words, tmp_path / "run", capsys
    )


def test_a_checkpoint_of_other_prompts_says_so_when_it_is_played(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "checkpoint"
    shutil.copytree(tiny_model, model)
    (model / TRAINED_WITH).write_text(json.dumps({**CONVERSATION.facts(), "prompts_sha256": "0" * 64}))
    words = ["--env", ENV, "--limit", "1", "--agent", f"local:model={model},max_new_tokens=2"]
    with pytest.warns(UserWarning, match="trained with other prompts.* differ in prompts_sha256"):
        main(["eval", *words, "--max-turns", "1", "--out", str(tmp_path / "eval")])
    assert "Traceback" not in capsys.readouterr().err
