"""Multi-process launcher of a stage: `act-gym train --launch zero3 imitation …`.

It is the same as `accelerate launch --config_file trainers/configs/zero3.yaml -m trainers.imitation …`. That command
works in a checkout only: in an installed package the programs are not on the import path. For several
machines see docs/scale.md.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from act_gym.cli import TRAINERS
from act_gym.errors import MissingDependencyError, UnknownNameError, UsageError
from trainers.configs import config_file, names

__all__ = ["command", "main"]

_USAGE = "usage: act-gym train --launch CONFIGURATION [--processes N] COMMAND [ARGUMENTS]"


def command(argv: Sequence[str], gpus: int) -> list[str]:
    """Return the arguments of `accelerate launch`.

    Args:
        argv: `--launch CONFIGURATION [--processes N] COMMAND [ARGUMENTS]`.
        gpus: GPUs of this machine: the number of processes if `--processes` is not given.

    Raises:
        UsageError: The words do not fit this form.
    """
    words = list(argv)
    options: dict[str, str] = {}
    while words and words[0] in ("--launch", "--processes"):
        if len(words) < 2:
            raise UsageError(f"{words[0]} needs a value. {_USAGE}")
        options[words[0]] = words[1]
        del words[:2]
    if not words or "--launch" not in options:
        raise UsageError(f"{_USAGE}. Configurations: {', '.join(names())}.")
    if words[0] not in TRAINERS:
        raise UnknownNameError("command act-gym train", words[0], TRAINERS)
    processes = options.get("--processes", str(gpus))
    if not processes.isdecimal() or int(processes) < 1:
        cause = "This machine has no GPU" if processes == "0" else f"--processes is {processes!r}"
        raise UsageError(f"{cause}. Give --processes a number of 2 or more to train without.")
    if processes == "1" and options["--launch"] == "ddp":
        raise UsageError("One process needs no --launch ddp. Leave it out.")
    return [
        *("--config_file", str(config_file(options["--launch"]))),
        *("--num_processes", processes, "--main_process_port", "0"),
        *("-m", TRAINERS[words[0]][0], *words[1:]),
    ]


def main(argv: Sequence[str]) -> int:
    """Start the processes and wait for them; return 0, or the status of the first that failed."""
    if {"-h", "--help"} & set(argv):
        return _help(argv)
    words = command(argv, 2)  # report usage errors before torch is imported, which takes seconds
    try:
        import torch
        from accelerate.commands.launch import launch_command, launch_command_parser
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    except ImportError as cause:
        raise MissingDependencyError("A package that training needs", "train") from cause
    words = command(argv, torch.cuda.device_count())
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # DeepSpeed detects it too, but each process warns
    programs = str(Path(__file__).resolve().parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (programs, os.environ.get("PYTHONPATH"))))
    try:
        launch_command(launch_command_parser().parse_args(words))
    except ChildFailedError as error:
        # The process has printed its error already; the launcher's own traceback does not contain it.
        _, failure = error.get_first_failure()
        sys.stderr.write(f"act-gym: a training process ended with status {failure.exitcode}.\n")
        return failure.exitcode if failure.exitcode > 0 else 1
    return 0


def _help(argv: Sequence[str]) -> int:
    """Show the help of the program that would be started; without a program, the launcher's usage."""
    named = next((word for word in argv if word in TRAINERS), None)
    if named is not None:
        return int(import_module(TRAINERS[named][0]).main(["--help"]) or 0)
    sys.stdout.write(f"{_USAGE}\nConfigurations: {', '.join(names())}. Commands: {', '.join(TRAINERS)}.\n")
    return 0
