"""A table of the paper, really run: with a tiny model on generated games, killed in the middle and run again."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.paper.program import main
from tests.trainers.conftest import make_tokenizer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from trainers.run.logging import quiet

    quiet()
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.slow
def test_both_rows_of_early_experience_run_through(tmp_path, model, capsys):
    layer = tmp_path / "short.yaml"
    layer.write_text(
        "early_experience: {proposer: random}\n"
        "pairs: {proposer: random}\n"
        "imitation: &short {steps: 1, probe: 0, save_every: 0, max_prompt_tokens: 0}\n"
        "world_model: *short\n"
        # A random model's reply is a monologue if it ends in time.
        "self_reflection: {steps: 1, probe: 0, save_every: 0, max_prompt_tokens: 0, max_new_tokens: 256, tries: 4}\n"
    )
    rows = ["early-experience-reflection", "early-experience-world"]
    argv = [
        "--rows",
        *rows,
        "--seeds",
        "1",
        "--benchmarks",
        "alfworld",
        "--generated",
        "--out",
        str(tmp_path / "paper"),
    ]
    argv += ["--limit", "4", "--max-turns", "1", "--judge", "0", "--model", str(model), "--layers", str(layer)]
    assert main(argv) == 0
    output = capsys.readouterr()
    assert "self-reflection" in output.out
    assert "world modelling" in output.out
    lines = list(csv.DictReader((tmp_path / "paper" / "table.csv").read_text().splitlines()))
    assert [(line["row"], line["seeds"]) for line in lines] == [(row, "1") for row in rows for _ in range(2)]
    kinds = sorted(path.name.rpartition("-")[0] for path in (tmp_path / "paper" / "jobs").glob("*.done.json"))
    # Each carries out alternatives of its own.
    made = [
        "collect",
        "early-experience",
        "early-experience",
        "eval",
        "eval",
        "imitation",
        "pairs",
        "self-reflection",
        "world-model",
    ]
    assert kinds == made


@pytest.mark.slow
def test_a_table_that_was_killed_goes_on_and_what_is_finished_is_not_run_again(tmp_path, model, capsys):
    layer = tmp_path / "short.yaml"
    layer.write_text(
        "pairs: {proposer: random}\n"
        "imitation: {steps: 1, probe: 0, save_every: 0, max_prompt_tokens: 0}\n"
        "act: {steps: 1, probe: 0, save_every: 0, max_prompt_tokens: 0, groups: 2, num_generations: 2,\n"
        "      thinking: false, max_completion_tokens: 8}\n"
    )
    argv = ["--rows", "il", "il-il", "act-il", "--seeds", "1", "--benchmarks", "alfworld", "--generated"]
    argv += ["--limit", "2", "--max-turns", "2", "--judge", "2", "--model", str(model)]
    argv += ["--out", str(tmp_path / "paper")]
    argv += ["--layers", str(ROOT / "trainers/recipes/machines/cpu.yaml"), str(layer)]
    jobs = tmp_path / "paper" / "jobs"
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.paper", *argv], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    while process.poll() is None and not list(jobs.glob("imitation-*/config.json")):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path.name: path.stat().st_mtime_ns for path in jobs.glob("*.done.json")}
    assert len(before) == 2, "the data was made, and no model was trained"

    assert main(argv) == 0
    output = capsys.readouterr()
    assert "IL→IL" in output.out
    markers = {path.name: path.stat().st_mtime_ns for path in jobs.glob("*.done.json")}
    assert {name: markers[name] for name in before} == before
    kinds = sorted(name.rpartition("-")[0] for name in markers)
    # IL is the first half of IL→IL.
    assert kinds == ["act", *["collect"] * 2, *["eval"] * 3, "held-out", *["imitation"] * 3, *["judge"] * 3, "pairs"]
    lines = list(csv.DictReader((tmp_path / "paper" / "table.csv").read_text().splitlines()))
    assert [line["row"] for line in lines[::3]] == ["il", "il-il", "act-il"]
    assert all(line["seeds"] == "1" for line in lines)
    assert "ALFWorld's games and WebShop's shop are generated" in (tmp_path / "paper" / "table.md").read_text()

    assert main(argv) == 0
    assert "▶" not in capsys.readouterr().err, "nothing is run a second time"
