"""Wrong settings and wrong inputs: one message each, and no run folder that blocks the corrected command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest

from act_gym.cli import TRAINERS, main
from act_gym.config import Bound
from act_gym.errors import RunError, UsageError
from trainers.act import ActConfig
from trainers.dpo import DPOStageConfig
from trainers.imitation import ImitationConfig
from trainers.rl import RLConfig
from trainers.sft_choice import SFTChoiceConfig
from trainers.warmup import WarmupConfig

STAGES: dict[str, tuple[type[Any], str]] = {
    "act": (ActConfig, "pairs"),
    "sft_choice": (SFTChoiceConfig, "pairs"),
    "dpo": (DPOStageConfig, "pairs"),
    "imitation": (ImitationConfig, "decisions"),
    "rl": (RLConfig, "decisions"),
    "warmup": (WarmupConfig, "pairs"),
}


def programs() -> Iterator[type[Any]]:
    """The dataclass of settings of every training command."""
    for module in TRAINERS.values():
        loaded = import_module(module[0])
        yield from {
            value
            for value in vars(loaded).values()
            if isinstance(value, type) and is_dataclass(value) and value.__module__ == module[0] and value.__doc__
        }


def numbers(hint: Any) -> Iterator[bool]:
    """Whether each number in an annotation has a bound."""
    if get_origin(hint) is Annotated:
        yield any(isinstance(extra, Bound) for extra in get_args(hint)[1:])
    elif hint in (int, float):
        yield False
    else:
        for inner in get_args(hint):
            yield from numbers(inner)


def test_every_number_that_a_training_command_takes_is_bounded() -> None:
    unbounded = [
        f"{program.__module__}.{program.__name__}.{field.name}"
        for program in programs()
        if {"out", "model", "pairs"} & {field.name for field in fields(program)}
        for field in fields(program)
        if not all(numbers(get_type_hints(program, include_extras=True)[field.name]))
    ]
    assert unbounded == []


@pytest.mark.parametrize(
    "words",
    [
        "imitation --batch 0",
        "act --micro-batch 0",
        "act --seed -1",
        "act --log-every 0",
        "imitation --lora-rank -2",
        "dpo --learning-rate nan",
        "rl --temperature 0",
        "act --epochs 0",
        "act --epochs -1",
        "world-model --limit -3",
        "self-reflection --steps -5",
        "collect --workers 0",
        "pairs --window -1",
        "early-experience --seed 4294967296",
        "pipeline --act.groups 0",
        "plan --efficiency 0",
        "datasheet --execute -2",
    ],
)
def test_a_number_out_of_bounds_is_one_message(words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, option, value = words.split()
    out = [] if command in ("plan", "datasheet") else ["--out", str(tmp_path / "run")]
    assert main(["train", command, option, value, *out]) == 2
    assert f"act-gym: {option} is " in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def broken(kind: str, right: Path, path: Path) -> Path:
    """A file with one fault, made of a right one."""
    lines = right.read_bytes().splitlines(keepends=True)
    content = {
        "empty": b"",
        "no JSON": b"the kitchen\n",
        "no JSON in the third line": b"".join([*lines[:2], b"{\n", *lines[2:]]),
        "other records": b'{"id": "x"}\n',
    }
    if kind in content:
        path.write_bytes(content[kind])
    return path


@pytest.mark.parametrize("kind", ["absent", "empty", "no JSON", "no JSON in the third line", "other records"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_bad_input_leaves_no_run_folder(stage: str, kind: str, tmp_path: Path, data: Path, tiny_model: Path) -> None:
    settings, name = STAGES[stage]
    path = broken(kind, data / f"{name}.jsonl", tmp_path / "bad.jsonl")
    arguments = settings(**{name: path}, model=str(tiny_model), out=tmp_path / "run")
    with pytest.raises(RunError, match=str(path)):
        import_module(f"trainers.{stage}").train(arguments)
    assert not arguments.out.exists()


def test_inputs_are_looked_at_before_a_model_is_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACT_GYM_DATA", str(tmp_path / "data"))
    with pytest.raises(RunError, match="nope"):
        import_module("trainers.act").train(ActConfig(pairs=tmp_path / "nope.jsonl", out=tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


def test_a_corrected_command_takes_the_same_folder(data: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    right = {"decisions": data / "decisions.jsonl", "model": str(tiny_model), "out": out, "probe": 0}
    train: Callable[[ImitationConfig], Any] = import_module("trainers.imitation").train
    for wrong in ({"max_prompt_tokens": 1}, {"micro_batch": 3}, {"model": str(tmp_path / "none")}):
        with pytest.raises((UsageError, FileNotFoundError)):
            train(ImitationConfig(**{**right, **wrong}))
        assert not out.exists()
    assert train(ImitationConfig(**right, steps=1, save_every=0))["steps"] == 1


def test_only_what_the_failed_command_made_is_removed(data: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="max-prompt-tokens"):
        import_module("trainers.rl").train(
            RLConfig(decisions=data / "decisions.jsonl", model=str(tiny_model), out=out, max_prompt_tokens=1)
        )
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_a_folder_with_work_in_it_is_never_removed(data: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ImitationConfig(
        decisions=data / "decisions.jsonl", model=str(tiny_model), out=out, probe=0, steps=1, save_every=0
    )
    train: Callable[[ImitationConfig], Any] = import_module("trainers.imitation").train
    train(arguments)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with pytest.raises(RunError, match="--resume"):
        train(arguments)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


@pytest.mark.parametrize("command", ["imitation --decisions", "act --pairs"])
def test_a_folder_that_cannot_be_made_is_one_message(
    command: str, data: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage, option = command.split()
    (tmp_path / "file").write_text("", encoding="utf-8")
    out = tmp_path / "file" / "run"
    words = [stage, option, str(data / f"{option[2:]}.jsonl"), "--model", str(tiny_model), "--out", str(out)]
    assert main(["train", *words]) == 2
    assert f"Cannot make {out}: {tmp_path / 'file'} is a file. Choose another --out." in capsys.readouterr().err
