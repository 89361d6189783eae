"""The words that start several processes, and the configurations behind them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file

from act_gym.errors import UnknownNameError, UsageError
from trainers.configs import config_file, names
from trainers.launch import command

ZERO = {"ddp": None, "zero2": 2, "zero2-offload": 2, "zero3": 3, "zero3-offload": 3}


def test_there_are_configurations_for_ddp_and_for_zero_with_and_without_offload() -> None:
    assert names() == sorted(ZERO)


@pytest.mark.parametrize("name", ZERO)
def test_accelerate_reads_every_configuration(name: str) -> None:
    config = load_config_from_file(str(config_file(name)))
    assert isinstance(config, ClusterConfig)
    settings = yaml.safe_load(config_file(name).read_text()).get("deepspeed_config", {})
    assert settings.get("zero_stage") == ZERO[name]
    assert (settings.get("offload_optimizer_device") == "cpu") == name.endswith("offload")
    assert (settings.get("offload_param_device") == "cpu") == (name == "zero3-offload")
    if ZERO[name] == 3:
        assert settings["zero3_init_flag"]
        assert settings["zero3_save_16bit_model"]


@pytest.mark.parametrize("name", ZERO)
def test_a_configurations_comment_holds_the_command_that_takes_it(name: str) -> None:
    assert f"accelerate launch --config_file trainers/configs/{name}.yaml -m trainers." in config_file(name).read_text()


def test_a_stage_is_launched_with_as_many_processes_as_there_are_gpus() -> None:
    words = command(["--launch", "zero3", "act", "--model", "m"], 4)
    assert words[words.index("--num_processes") + 1] == "4"
    assert words[-4:] == ["-m", "trainers.act", "--model", "m"]
    assert words[words.index("--config_file") + 1].endswith("configs/zero3.yaml")
    assert command(["--launch", "ddp", "--processes", "3", "rl"], 4)[3] == "3"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("--launch zero3 --help", "Configurations: ddp, zero2"),
        ("--launch zero3 act --help", "usage: act-gym train act"),
    ],
)
def test_help_starts_no_process(words: str, shown: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "act_gym", "train", *words.split()], capture_output=True, text=True, check=True
    )
    assert shown in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "gpus", "message"),
    [
        ("--launch", 2, "--launch needs a value"),
        ("--launch zero3", 2, "usage: act-gym train --launch"),
        ("--processes 2 act", 2, "Configurations: ddp, zero2"),
        ("--launch zero3 act", 0, "has no GPU. Give --processes"),
        ("--launch zero3 --processes many act", 2, "--processes is 'many'"),
        ("--launch ddp act", 1, "needs no --launch ddp"),
    ],
)
def test_what_is_asked_wrongly_is_said(words: str, gpus: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        command(words.split(), gpus)


@pytest.mark.parametrize("words", ["--launch zero33 act", "--launch zero3 akt"])
def test_a_name_that_is_not_there_gets_those_that_are(words: str) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean"):
        command(words.split(), 2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_error_is_said_once_and_without_a_traceback(tmp_path: Path) -> None:
    finished = subprocess.run(
        [
            *(sys.executable, "-c", "import sys; from act_gym.cli import main; sys.exit(main())"),
            *("train", "--launch", "ddp", "--processes", "2", "imitation"),
            *("--model", str(tmp_path), "--out", str(tmp_path / "run")),
        ],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert finished.returncode == 1
    assert finished.stderr.count("act-gym: Cannot read runs/pairs/decisions.jsonl") == 1
    assert "Traceback" not in finished.stderr
    assert not (tmp_path / "run").exists()
