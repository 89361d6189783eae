"""GRPO samples from the whole distribution, whatever a checkpoint says of how it is best sampled."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from trainers import act
from trainers.act import ActConfig


@pytest.mark.parametrize("shared_prompt", [True, False])
def test_a_models_own_sampling_settings_change_nothing(
    shared_prompt: bool, tmp_path: Path, pairs_file: Path, speaking_model: Path
) -> None:
    """A checkpoint names how its makers sample; GRPO samples the whole distribution, and keeps the file."""
    named = tmp_path / "named"
    shutil.copytree(speaking_model, named)
    file = named / "generation_config.json"
    theirs = {"do_sample": True, "min_p": 0.9, "top_h": 0.2, "suppress_tokens": [7, 8, 9], "no_repeat_ngram_size": 2}
    file.write_text(json.dumps(json.loads(file.read_text()) | theirs))
    found = []
    for model in (speaking_model, named):
        out = tmp_path / f"run-{model.name}"
        settings = ActConfig(
            pairs=pairs_file,
            model=str(model),
            out=out,
            groups=2,
            num_generations=4,
            max_completion_tokens=12,
            steps=2,
            learning_rate=1e-3,
            precision="fp32",
            shared_prompt=shared_prompt,
            save_every=0,
            probe=0,
            probe_groups=0,
        )
        act.train(settings)
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        found.append(
            [[line[name] for name in ("loss", "reward", "length", "entropy")] for line in lines if "step" in line]
        )
    assert found[0] == found[1]
    saved = json.loads((tmp_path / "run-named" / "checkpoint" / "generation_config.json").read_text())
    assert {name: saved[name] for name in theirs} == theirs
