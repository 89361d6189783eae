"""Resume: a training continued from any of its states ends with the weights of one that was not interrupted.

A whole training saves a state at each step. What the disk holds at a step is copied, and each copy is resumed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import skip_first_batches
from accelerate.data_loader import prepare_data_loader
from safetensors.torch import load_file
from torch.utils.data import DataLoader, RandomSampler
from transformers import TrainerState

from act_gym.io.jsonl import RecordWriter
from act_gym.io.run_dir import Run
from act_gym.types import ActionPair, Transition
from trainers import act, dpo, imitation, rl, self_reflection, sft_choice, warmup, world_model
from trainers.grpo.zero_variance import QuestionSampler
from trainers.run import checkpoints
from trainers.run.callbacks import ResumeCallback

STEPS_AN_EPOCH = 2
STATES = (1, 2, 3, 4, 5)  # in each of three epochs, and at the end of two

Stage = tuple[Callable[[Any], dict[str, Any]], Any]

COMMON = {"epochs": 3, "learning_rate": 1e-3, "precision": "fp32", "save_every": 1, "probe": 0}
SUPERVISED = {**COMMON, "limit": 8, "batch": 4, "micro_batch": 2}
GROUPS = {
    **COMMON,
    "limit": 4,
    "groups": 2,
    "micro_batch": 4,
    "num_generations": 4,
    "max_completion_tokens": 12,
    "schedule": "linear",
    "probe_groups": 0,
}


@pytest.fixture
def experience_file(tmp_path: Path, pairs: list[ActionPair]) -> Path:
    path = tmp_path / "experience.jsonl"
    with RecordWriter(path) as writer:
        for pair in pairs[:8]:
            for action in (pair.step.expert_action, pair.alternative):
                expert = action == pair.step.expert_action
                record = Transition(
                    step=pair.step,
                    action=action,
                    is_expert=expert,
                    source="expert" if expert else "random",
                    next_observation=f"You {action}.",
                    action_valid=True,
                    score=0.0,
                    terminated=False,
                    success=False,
                    same_as_expert=expert,
                )
                writer.write(record.to_json())
    return path


@pytest.fixture
def stages(tmp_path: Path, pairs_file: Path, experience_file: Path, speaking_model: Path) -> dict[str, Stage]:
    """Each stage's program and settings: three epochs of two steps."""
    made = {"model": str(speaking_model), "out": tmp_path / "whole"}
    groups = {**GROUPS, **made}
    supervised = {**SUPERVISED, **made}
    reflecting = {**supervised, "limit": 16, "mix_expert": False}
    return {
        "warmup": (warmup.train, warmup.WarmupConfig(pairs=pairs_file, **supervised)),
        "sft-choice": (sft_choice.train, sft_choice.SFTChoiceConfig(pairs=pairs_file, **supervised)),
        "dpo": (dpo.train, dpo.DPOStageConfig(pairs=pairs_file, **supervised)),
        "imitation": (imitation.train, imitation.ImitationConfig(decisions=pairs_file, **supervised)),
        "world-model": (
            world_model.train,
            world_model.WorldModelConfig(experience=experience_file, **{**supervised, "batch": 8}),
        ),
        "self-reflection": (
            self_reflection.train,
            self_reflection.SelfReflectionConfig(experience=experience_file, **reflecting),
        ),
        "act": (act.train, act.ActConfig(pairs=pairs_file, **groups)),
        "act, filter": (act.train, act.ActConfig(pairs=pairs_file, zero_variance="filter", **groups)),
        "act, resample": (act.train, act.ActConfig(pairs=pairs_file, zero_variance="resample", **groups)),
        "act, both orders": (act.train, act.ActConfig(pairs=pairs_file, order="both", **{**groups, "limit": 2})),
        "act, two iterations": (act.train, act.ActConfig(pairs=pairs_file, iterations=2, **{**groups, "limit": 2})),
        "act, TRL's pass": (act.train, act.ActConfig(pairs=pairs_file, shared_prompt=False, **groups)),
        "rl": (rl.train, rl.RLConfig(decisions=pairs_file, **groups)),
    }


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    """Copies of a run folder as SIGKILL would leave it after each state, by the state's step."""
    log = Run.log

    def copying(self: Run, **values: Any) -> None:
        state = values.get("step", 0) - 1
        if self.folder.name == "whole" and state in STATES:
            shutil.copytree(self.folder, tmp_path / f"at-{state}")
        log(self, **values)

    monkeypatch.setattr(Run, "log", copying)
    return lambda state: tmp_path / f"at-{state}"


def lines_of(out: Path) -> list[dict[str, Any]]:
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [{name: line[name] for name in line if name not in ("time", "seconds")} for line in lines if "step" in line]


def assert_same_training(whole: Path, other: Path) -> None:
    expected = load_file(whole / "checkpoint" / "model.safetensors")
    found = load_file(other / "checkpoint" / "model.safetensors")
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0, msg=f"{other.name}: {name} differs")


NAMES = (
    "warmup",
    "sft-choice",
    "dpo",
    "imitation",
    "world-model",
    "self-reflection",
    "act",
    "act, filter",
    "act, resample",
    "act, both orders",
    "act, two iterations",
    "act, TRL's pass",
    "rl",
)


@pytest.mark.parametrize("name", NAMES)
def test_resume_in_every_epoch_gives_the_same_weights(
    name: str, stages: dict[str, Stage], photographs: Callable[[int], Path]
) -> None:
    train, whole = stages[name]
    if name == "self-reflection":
        write_monologues(whole)
    assert train(whole)["steps"] == 3 * STEPS_AN_EPOCH
    assert lines_of(whole.out)[-1]["grad_norm"] > 0
    for state in STATES:
        if name == "act, two iterations" and state % 2:
            continue  # a state holds no replies, so none is saved between two steps on the same ones
        resumed = replace(whole, out=photographs(state), resume=True)
        assert checkpoints.last_state(resumed.out) == resumed.out / "state" / f"checkpoint-{state}"
        train(resumed)
        assert_same_training(whole.out, resumed.out)


def write_monologues(arguments: self_reflection.SelfReflectionConfig) -> None:
    """Write the reasoning that a larger model would; the tiny one writes none that can be used."""
    with RecordWriter(arguments.out / "reflections.jsonl") as writer:
        for number in range(8):
            name = f"scienceworld/find-plant/{number}#0"
            writer.write({"id": name, "kind": "kept", "monologue": f"It is dark here, {number}."})


@pytest.mark.parametrize("block", [1, 2])
def test_the_order_of_questions_follows_from_seed_and_epoch(block: int) -> None:
    def sampler(seed: int) -> QuestionSampler:
        return QuestionSampler(
            block, data_source=range(12), mini_repeat_count=3, batch_size=4, repeat_count=2, seed=seed
        )

    one = sampler(1)
    orders = []
    for epoch in range(3):
        one.set_epoch(epoch)
        orders.append(list(one))
        assert list(one) == orders[epoch]  # asking does not change it
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == sorted([*range(12)] * 6) for order in orders)
    late = sampler(1)
    late.set_epoch(2)
    assert list(late) == orders[2]
    assert list(sampler(2)) != orders[0]


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("kind", ["supervised", "groups"])
def test_a_resumed_epoch_has_its_order_in_each_process(kind: str, processes: int) -> None:
    def loader() -> Any:
        if kind == "groups":
            sampler: Any = QuestionSampler(1, data_source=range(24), mini_repeat_count=1, batch_size=4, seed=1)
        else:
            sampler = RandomSampler(range(24), generator=torch.Generator().manual_seed(1))
        made = DataLoader(range(24), batch_size=4, sampler=sampler)
        return prepare_data_loader(
            made, num_processes=processes, process_index=0, put_on_device=False, use_seedable_sampler=True
        )

    def batches(of: Any) -> list[list[int]]:
        return [batch.tolist() for batch in of]

    uninterrupted = loader()
    orders = []
    for epoch in range(3):
        ResumeCallback().on_epoch_begin(None, TrainerState(epoch=float(epoch)), None, train_dataloader=uninterrupted)
        orders.append(batches(uninterrupted))
    assert orders[0] != orders[1] != orders[2]
    resumed = loader()
    rest = skip_first_batches(resumed, 1)  # as Transformers resumes in the middle of an epoch
    ResumeCallback().on_epoch_begin(None, TrainerState(epoch=2.3), None, train_dataloader=resumed)
    rest.set_epoch(2)
    assert batches(rest) == orders[2][1:]
