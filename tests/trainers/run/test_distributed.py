"""What each of several processes may do, as one process can be told that it is one of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from act_gym.cli import main
from act_gym.errors import RunError, UsageError
from trainers.imitation import ImitationConfig
from trainers.run import checkpoints, distributed
from trainers.run.logging import note
from trainers.run.stage import common_config, open_run


def one_of(monkeypatch: pytest.MonkeyPatch, count: int, rank: int = 0, **more: str) -> None:
    for name, value in {"WORLD_SIZE": str(count), "RANK": str(rank), **more}.items():
        monkeypatch.setenv(name, value)


def test_a_program_started_by_itself_is_the_first_of_one() -> None:
    assert (distributed.count(), distributed.is_first(), distributed.described()) == (1, True, "1 process")
    assert distributed.by_first(lambda: "done") == "done"
    with pytest.raises(UsageError, match="as it was"), distributed.sharded_loading(mixed=False):
        distributed.by_first(lambda: (_ for _ in ()).throw(UsageError("as it was")))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "4 processes"),
        ({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}, "4 processes, ZeRO-3"),
        ({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"}, "4 processes, ZeRO-2"),
    ],
)
def test_how_it_was_launched_is_said(settings: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one_of(monkeypatch, 4, **settings)
    assert distributed.described() == words


def test_a_step_is_shared_equally_or_not_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one_of(monkeypatch, 4)
    settings = ImitationConfig(out=tmp_path, micro_batch=2, precision="fp32")
    shared = common_config(settings, sequences=16)
    assert shared["per_device_train_batch_size"] * shared["gradient_accumulation_steps"] * 4 == 16
    assert common_config(settings, sequences=4)["per_device_train_batch_size"] == 1
    with pytest.raises(UsageError, match="10 sequences a step cannot be shared by 4 processes"):
        common_config(settings, sequences=10)


def test_deepspeed_has_bf16_on_gpus_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one_of(monkeypatch, 2, ACCELERATE_USE_DEEPSPEED="true")
    assert common_config(ImitationConfig(out=tmp_path, precision="auto"), sequences=4)["bf16"] is False
    with pytest.raises(UsageError, match="use fp32"):
        common_config(ImitationConfig(out=tmp_path, precision="mixed"), sequences=4)


def test_the_others_say_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    one_of(monkeypatch, 2, rank=1)
    note("a line of the log")
    assert main(["train", "akt"]) == 2
    assert capsys.readouterr().err == ""


def test_a_run_is_not_resumed_by_another_number_of_processes(
    pairs_file: Path, tiny_model: Path, tmp_path: Path
) -> None:
    arguments = ImitationConfig(decisions=pairs_file, model=str(tiny_model), out=tmp_path / "run")
    run, _ = open_run("trainers.imitation", arguments, [pairs_file])
    manifest = json.loads(run.path("manifest.json").read_text())
    assert manifest["launched"] == "1 process"
    run.path("manifest.json").write_text(json.dumps({**manifest, "launched": "8 processes, ZeRO-3"}))
    with pytest.raises(RunError, match="8 processes, ZeRO-3"):
        open_run("trainers.imitation", replace(arguments, resume=True), [pairs_file])


def test_a_state_is_complete_when_every_process_has_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_of(monkeypatch, 2)
    for step, others in ((2, (0, 1)), (4, (0,))):
        state = tmp_path / "state" / f"checkpoint-{step}"
        state.mkdir(parents=True)
        (state / "trainer_state.json").write_text("{}")
        for rank in others:
            (state / f"rng_state_{rank}.pth").touch()
    found = checkpoints.last_state(tmp_path)
    assert found is not None
    assert found.name == "checkpoint-2"
