"""Supervised training on the expert's actions."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from act_gym.errors import MissingDataError, RunError, UsageError
from act_gym.io.jsonl import RecordWriter
from act_gym.types import ActionPair
from trainers.data.questions import read_steps
from trainers.imitation import ImitationConfig, train


def test_imitation_lowers_the_loss_on_the_experts_actions(tmp_path: Path, pairs_file: Path, tiny_model: Path) -> None:
    out = tmp_path / "run"
    train(
        ImitationConfig(
            decisions=pairs_file,
            model=str(tiny_model),
            out=out,
            epochs=8,
            batch=8,
            learning_rate=1e-2,
            precision="fp32",
            probe=0,
            save_every=0,
        )
    )
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line and "step" in line]
    # Blind guessing among 512 tokens costs log(512) = 6.2 nats.
    assert losses[0] > 5.5
    assert losses[-1] < 2.0


def test_lora_leaves_a_whole_model_that_needs_no_peft(tmp_path: Path, pairs_file: Path, tiny_model: Path) -> None:
    from safetensors.torch import load_file

    out = tmp_path / "run"
    train(
        ImitationConfig(
            decisions=pairs_file,
            model=str(tiny_model),
            out=out,
            steps=2,
            learning_rate=1e-2,
            lora_rank=4,
            precision="fp32",
            probe=0,
            lr_warmup=0.0,
            schedule="constant",
        )
    )
    before = load_file(tiny_model / "model.safetensors")
    after = load_file(out / "checkpoint" / "model.safetensors")
    changed = {name for name in before if not before[name].equal(after[name])}
    assert before.keys() == after.keys()
    # Adapters sit on the layers' matrices; embeddings, norms and the head stay as they were.
    assert changed == {name for name in before if "_proj" in name}


def test_decisions_are_read_from_a_file_of_decisions_and_once_from_a_file_of_pairs(
    tmp_path: Path, pairs: list[ActionPair]
) -> None:
    decisions, twice = tmp_path / "decisions.jsonl", tmp_path / "pairs.jsonl"
    with RecordWriter(decisions) as writer, RecordWriter(twice) as doubled:
        for pair in pairs:
            writer.write(pair.step.to_json())
            doubled.write(pair.to_json())
            doubled.write(pair.to_json())
    assert read_steps(decisions) == read_steps(twice) == [pair.step for pair in pairs]
    assert read_steps(twice, limit=3) == [pair.step for pair in pairs[:3]]


def test_a_finished_run_is_recognised_and_a_changed_checkpoint_is_not(
    tmp_path: Path, pairs_file: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {"decisions": pairs_file, "model": str(tiny_model), "out": tmp_path / "run", "steps": 1, "probe": 0}
    first = train(ImitationConfig(**arguments))
    with pytest.raises(RunError, match="--resume"):
        train(ImitationConfig(**arguments))
    assert train(ImitationConfig(**arguments, resume=True)) == first
    assert "finished already" in capsys.readouterr().err
    with pytest.raises(RunError, match="learning_rate"):
        train(ImitationConfig(**arguments, resume=True, learning_rate=1.0))
    (tmp_path / "run" / "checkpoint" / "config.json").write_text("{}")
    with pytest.raises(RunError, match="is not what the run left there"):
        train(ImitationConfig(**arguments, resume=True))


def test_training_on_a_local_model_never_reaches_for_the_network(
    tmp_path: Path, pairs_file: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.delenv("CI", raising=False)  # TRL sends no telemetry from CI
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: asked.append(host) or [])
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
    train(ImitationConfig(decisions=pairs_file, model=str(tiny_model), out=tmp_path / "run", steps=1, probe=2))
    assert not asked


def test_missing_inputs_are_named_with_what_makes_them(tmp_path: Path, pairs_file: Path, tiny_model: Path) -> None:
    with pytest.raises(MissingDataError, match="No model in"):
        train(ImitationConfig(decisions=pairs_file, model=str(tmp_path / "nowhere"), out=tmp_path / "a"))
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    with pytest.raises(RunError, match="holds no records"):
        train(ImitationConfig(decisions=empty, model=str(tiny_model), out=tmp_path / "b"))
    with pytest.raises(UsageError, match="--max-prompt-tokens"):
        train(ImitationConfig(decisions=pairs_file, model=str(tiny_model), out=tmp_path / "c", max_prompt_tokens=3))
