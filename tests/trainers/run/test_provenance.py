"""Whose alternatives a run is trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from act_gym.errors import RunError
from act_gym.io.jsonl import RecordWriter
from act_gym.types import ActionPair
from agents.local.model import Policy
from trainers import pairs as program
from trainers.run.provenance import NAME, in_words, note_proposer, origin
from trainers.sft_choice import SFTChoiceConfig, train


@pytest.fixture
def episodes(tmp_path: Path) -> Path:
    from tests.trainers.test_pairs import write_episodes

    return write_episodes(tmp_path / "episodes.jsonl", 2, turns=2)


def test_pairs_of_one_model_train_another_and_the_run_says_whose_they_are(
    tmp_path: Path, episodes: Path, speaking_model: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, reused = tmp_path / "made", tmp_path / "reused"
    program.main(
        ["--episodes", str(episodes), "--proposer", "ranked", "--model", str(speaking_model), "--out", str(made)]
    )
    program.main(["--reuse", str(made / "pairs.jsonl"), "--out", str(reused)])
    found = origin(reused / "pairs.jsonl")
    assert found == origin(made / "pairs.jsonl") == json.loads((made / NAME).read_text())
    assert found["name"].endswith("/checkpoint:ranked")
    assert found["model"] == str(speaking_model)
    assert len(found["weights_sha256"]) == 64
    assert origin(made / "decisions.jsonl") == {}
    capsys.readouterr()
    out = tmp_path / "run"
    train(SFTChoiceConfig(pairs=reused / "pairs.jsonl", model=str(tiny_model), out=out, steps=1, probe=0, save_every=0))
    line = f"{reused / 'pairs.jsonl'}: alternatives by {in_words(found)}; {tiny_model} is trained."
    assert line in capsys.readouterr().err
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["alternatives"] == {str(reused / "pairs.jsonl"): found}


def test_a_file_alone_gives_at_least_the_proposers_name(pairs_file: Path) -> None:
    assert origin(pairs_file) == {"name": "hand"}
    assert in_words(origin(pairs_file)) == "hand"


def test_a_run_is_not_continued_by_a_model_with_other_weights(
    tmp_path: Path, tiny_model: Path, speaking_model: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    note_proposer(tmp_path, "m:free", str(folder), Policy.load(str(folder), dtype="float32"))
    note_proposer(tmp_path, "m:free", str(folder), Policy.load(str(folder), dtype="float32"))
    shutil.copyfile(speaking_model / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(RunError, match="weights"):
        note_proposer(tmp_path, "m:free", str(folder), Policy.load(str(folder), dtype="float32"))


def test_a_damaged_note_is_named(tmp_path: Path, pairs: list[ActionPair]) -> None:
    with RecordWriter(tmp_path / "pairs.jsonl") as writer:
        writer.write(pairs[0].to_json())
    (tmp_path / NAME).write_text("[]")
    with pytest.raises(RunError, match=NAME):
        origin(tmp_path / "pairs.jsonl")
