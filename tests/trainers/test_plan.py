"""A plan's numbers by hand, and in the documentation."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from act_gym.cli import main as act_gym
from act_gym.errors import UsageError
from trainers.dry_run.costs import SHAPES
from trainers.plan import PlanConfig, planned

DOCS = Path(__file__).parents[2] / "docs" / "scale.md"


def cell(text: str, row: str) -> float:
    """Return the number at the end of a row."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {row}"))
    return float(line.rstrip(" |").rsplit("|", 1)[1].strip(" *"))


def test_memory_by_hand() -> None:
    text = planned(PlanConfig(model="qwen3-8b", gpus=8))
    n = SHAPES["qwen3-8b"].parameters  # 8.19e9
    assert cell(text, "weights, bf16") == pytest.approx(2 * n / 8 / 1e9, abs=0.05)
    assert cell(text, "optimizer") == pytest.approx(12 * n / 8 / 1e9, abs=0.05)
    assert cell(text, "whole weights") == pytest.approx(2 * n / 1e9, abs=0.05)
    # 36 blocks, 8 heads of 128, keys and values, 2 bytes: 147,456 bytes a token; 32 replies of 1,536 tokens.
    assert cell(text, "cache") == pytest.approx(147_456 * 32 * 1536 / 1e9, abs=0.05)


def test_seconds_by_hand() -> None:
    text = planned(PlanConfig(model="qwen3-8b", gpus=8, checkpointing=False))
    shape = SHAPES["qwen3-8b"]
    # The prompt looks at half of itself, and each of eight replies at the prompt and at a mask as wide as itself.
    pairs = 1024 * 1024 / 2 + 8 * 512 * (1024 + 512)
    flops = 4 * 3 * (5120 * shape.token_flops + pairs * shape.pair_flops)
    assert cell(text, "training: 4 passes") == pytest.approx(flops / (0.4 * 989e12), abs=0.01)
    received = (4 * 3 + 1) * 2 * shape.parameters * 7 / 8
    assert cell(text, "sharing") == pytest.approx(received / 450e9, abs=0.01)


def test_prompts_that_are_shared_cost_less_and_more_gpus_hold_less() -> None:
    shared, apart = (planned(PlanConfig(shared_prompt=shared)) for shared in (True, False))
    assert cell(shared, "training:") < cell(apart, "training:") / 2
    assert cell(planned(PlanConfig(gpus=32)), "optimizer") == pytest.approx(cell(shared, "optimizer") / 4, abs=0.1)


def test_what_does_not_fit_is_said() -> None:
    assert "it does not fit" in planned(PlanConfig(model="llama3-70b", gpus=64, groups=64))
    assert "it does not fit" not in planned(PlanConfig(model="llama3-70b", gpus=64, groups=64, tensor_parallel=8))


def test_a_models_own_configuration_is_counted(tmp_path: Path, tiny_model: Path) -> None:
    assert "2 blocks of 32 channels" in planned(PlanConfig(model=str(tiny_model)))
    with pytest.raises(UsageError, match="Cannot count"):
        planned(PlanConfig(model=str(tmp_path)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gpus": 1}, "--gpus is 1; expected a number of at least 2"),
        ({"gpus": 12}, "not whole machines"),
        ({"tensor_parallel": 3}, "does not divide"),
        ({"groups": 3}, "not whole passes"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        planned(replace(PlanConfig(), **change))  # type: ignore[arg-type]


def test_the_documentation_holds_what_the_command_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))  # the command adds a folder
    text = DOCS.read_text(encoding="utf-8")
    commands = re.findall(r"^act-gym train plan (.*?)$", text, flags=re.MULTILINE)
    assert len(commands) == 2
    for words in commands:
        assert act_gym(["train", "plan", *words.split()]) == 0
        assert capsys.readouterr().out.strip() in text
