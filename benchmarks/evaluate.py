"""Plays every task of some suites with an agent, once for every seed, and counts.

    act-gym eval --suite alfworld-seen-140 alfworld-unseen-134 --agent random --out runs/random

Leaves a run folder:

    manifest.json    suites with their hashes, versions, agent, model, prompts, sampling, seeds, revision, machine
    episodes.jsonl   everything that happened; it only grows, and each line is complete or absent
    records.jsonl    one flat line an episode, in the stated order
    summary.json     the numbers, which are printed as a table

A run that was stopped continues with `--resume` where it was; what ended with an error is tried again. The exit
status is 3 where episodes ended with an error: they count as failures, and their split has no interval. Agents that
are cheap to make play in `--workers` processes; any other is made once and answers `--batch-size` episodes at once in
this one; `--backend ray` spreads the episodes over a cluster. See docs/design/evaluation.md for what numbers mean.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from act_gym.agent import Agent
from act_gym.benchmarks import at_level
from act_gym.config import parse, read_settings
from act_gym.errors import ActGymError, CorruptDataError, EngineError, FailedEpisodesError, UnknownNameError, UsageError
from act_gym.io.run_dir import Run, check_folder, locked, refuse_secrets
from act_gym.rollout import Job, make_env
from act_gym.types import Episode, Turn
from act_gym.wrappers import INTERFACES
from agents.registry import is_foreign, make_agent, parse_agent
from agents.workers.backend import Backend, play_on
from agents.workers.processes import Guarded
from benchmarks.protocols import agent_settings, applied, protocol, takes_setting
from benchmarks.reporting.loggers import check_trackers, tracking
from benchmarks.reporting.plots import check_plots, write_plots
from benchmarks.reporting.progress import Progress, watch
from benchmarks.reporting.tables import show_summary
from benchmarks.run.episode_store import Journal
from benchmarks.run.folder import LEAVES, open_run
from benchmarks.run.manifest import evaluation_facts
from benchmarks.run.schedule import Key, Plan, make_plan
from benchmarks.stats.measurement import Summary, named
from benchmarks.stats.scores import Record, failures, is_error, measure
from benchmarks.suites import suite

__all__ = [
    "EarlyStop",
    "EvalConfig",
    "main",
    "make_summary",
    "options_of",
    "plan_of",
    "play_plan",
    "status_of",
    "words_of",
]


_IN_A_ROW = 5  # equal errors; fewer may be the tasks' own
_PLACE = re.compile(r"\((?P<file>[^()]+:\d+)\)$")  # where an exception was raised; see `agents.workers.processes`


class EarlyStop:
    """Counts equal errors of episodes that end one after the other.

    Args:
        limit: How many of them end the run; 0 for none.
    """

    def __init__(self, *, limit: int = _IN_A_ROW) -> None:
        self._limit = limit
        self._count = 0
        self._cause: tuple[str, ...] | None = None

    def add(self, record: Record) -> None:
        """Count the flat record of an episode that has just ended.

        Raises:
            FailedEpisodesError: It was the last of so many that ended with the same error.
        """
        cause = _cause(record) if is_error(record) else None
        self._count = self._count + 1 if cause == self._cause else 1
        self._cause = cause
        if cause is not None and self._count == self._limit:
            raise FailedEpisodesError(
                f"{self._limit} episodes in a row ended with the same error, so the run stopped. The last one: "
                f"{record['stop']}: {record['error']}\n"
                "Mend the cause and continue with --resume, or play all episodes with --resume --keep-going."
            )


def _cause(record: Record) -> tuple[str, ...]:
    """Return what two equal errors have in common: kind and place of an exception, or a message without its numbers."""
    error = str(record["error"])
    place = _PLACE.search(error)
    if place:
        return record["stop"], error.partition(":")[0], place["file"]
    return record["stop"], re.sub(r"\d+", "0", error.replace(record["task_id"], ""))


def play_plan(
    plan: Plan,
    make: Callable[[], Agent],
    agent: Agent | None,
    finished: Collection[Key],
    *,
    backend: Backend,
    keep_commands: bool,
    on_turn: Callable[[Turn], None] | None = None,
) -> Generator[Episode, None, None]:
    """Play every episode of a plan that is not finished and yield it as soon as it ends.

    Args:
        plan: The planned episodes.
        make: Makes the agent in another process.
        agent: The agent itself, where it has been made already.
        finished: Episodes that were played before.
        backend: Where, and how many at once.
        keep_commands: Whether every turn keeps its admissible commands.
        on_turn: Called with every turn that is played in this process.
    """
    jobs = [
        Job(part.env_id, task, seed)
        for part, task, seed in plan.episodes()
        if (part.env_id, task.id, seed) not in finished
    ]
    options = dict(plan.env_options)
    yield from play_on(backend, jobs, make, agent, env_options=options, keep_commands=keep_commands, on_turn=on_turn)


_DEFAULT = ("act/ScienceWorld-seen", "act/ScienceWorld-unseen")


@dataclass(frozen=True)
class EvalConfig:
    """Play each task of some suites or environments once per seed with one agent."""

    agent: str = "random"
    """`random`, `expert`, `local`, `chat`, `replay`, a server's address, or your own as `module:Class`."""
    suite: tuple[str, ...] = ()
    """Suites, e.g. `alfworld-unseen-134 webshop-test-500`; `act-gym suites` shows them all."""
    env: tuple[str, ...] = ()
    """Environments, whose tasks you choose yourself; `act-gym list` shows them all, and `act/ALFWorld-L2` is the one of
    a level. Without suite and environment,
    act/ScienceWorld-seen and act/ScienceWorld-unseen, which need no download."""
    protocol: str = ""
    """Settings under which other work reports its numbers, e.g. `verl-agent`: suites, step limit, prompts, history,
    sampling; `act-gym protocols` shows them all."""
    agent_options: tuple[str, ...] = ()
    """The agent's own settings as name=value, e.g. `decode=ranked model=runs/x/checkpoint`."""
    model: str = ""
    """Short for the agent's setting of this name: `smollm2`, a folder, or what the server calls it."""
    base_url: str = ""
    """Short for the setting of this name of the agent `chat`: a server's address up to `/v1`."""
    label: str = ""
    """Name of this run in comparisons, e.g. `base`; the agent's name if empty."""
    env_options: tuple[str, ...] = ()
    """The environments' own settings as name=value, e.g. `catalogue=generated human_goals=true` for WebShop."""
    wrappers: tuple[str, ...] = ()
    """Wrappers of the environments, the innermost first: `history`, `commands`, `think-action`, or your own as
    `module:Class`, with settings as `commands:most=50`."""
    interface: str = "original"
    """`original` commands, the same `renamed`, or several `merged` into one verb, to test another interface than that
    of training."""
    out: Path = Path("runs/eval")
    """The run folder."""
    task_types: tuple[str, ...] = ()
    """Only tasks of these types; all types if none is given."""
    per_type: int = 0
    """At most this many tasks of each type in each environment; 0 for all."""
    limit: int = 0
    """At most this many tasks of each environment, taken from its types in turn; 0 for all."""
    max_turns: int = 0
    """Step limit of an episode; 0 for the benchmark's own."""
    step_limit: str = ""
    """Instead, a limit that others report results under, e.g. `eto`, which has one for each type of task."""
    seeds: tuple[int, ...] = (0,)
    """Each task is played once with each of these."""
    shard: str = ""
    """Play one of so many shares of the tasks, e.g. `1/2` here and `2/2` elsewhere; `act-gym merge` joins them."""
    workers: int = 0
    """Processes, each with an agent of its own: for `random`, `expert`, `replay` and agents of yours without a
    `batch_size`. 0 for one a core where the agent is cheap to make, and else for this process alone."""
    batch_size: int = 0
    """Episodes that an agent is asked about at once, in each process; 0 for what suits it and the machine."""
    backend: str = "local"
    """`local` plays on this machine, `ray` on a Ray cluster."""
    ray_address: str = ""
    """The cluster of `--backend ray`: `auto` on one of its nodes, or host:port; empty starts Ray on this machine."""
    ray_gpus: float = 0.0
    """GPUs of each actor on Ray; a fraction shares one."""
    keep_commands: bool = False
    """Whether episodes.jsonl keeps every turn's admissible commands, which are most of its size."""
    plots: bool = False
    """Draw success as PNG and SVG into the run folder's `plots/`: per split, per task type, seen against unseen."""
    report_to: tuple[str, ...] = ()
    """Send numbers to `tensorboard`, `wandb` or `trackio`."""
    json: bool = False
    """Print the summary as JSON instead of a table."""
    resume: bool = False
    """Continue the run in the folder: play missing episodes, and again those that ended with an error (of a server, a
    simulator or the agent's code, not by its actions) is tried again. All else stays as it is. `--limit` and
    `--per-type` may be larger than before."""
    overwrite: bool = False
    """Remove the run in the folder and start it again."""
    keep_errors: bool = False
    """With --resume, leave also the episodes that ended with an error as they are."""
    keep_going: bool = False
    """Play on where five episodes in a row ended with the same error, which otherwise stops the run."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(EvalConfig, sys.argv[1:] if argv is None else argv, program="act-gym eval")
    _check(arguments)
    check_folder(arguments.out, LEAVES, resume=arguments.resume, overwrite=arguments.overwrite)
    check_trackers(arguments.report_to)
    if arguments.plots:
        check_plots()
    backend = _backend(arguments)
    plan = plan_of(arguments)
    for name in applied(arguments).suite:
        suite(name).check_simulator()
    options = options_of(arguments)
    # Before the folder is made: a mistake leaves nothing.
    if backend.name == "local":
        check_environments(plan)
    make, agent = _agent(arguments.agent, options, backend)

    def facts_of(other: EvalConfig) -> dict[str, Any]:
        return evaluation_facts(plan if other is arguments else plan_of(other), arguments.agent, options, agent)

    facts = facts_of(arguments)
    with locked(arguments.out, f"playing into {arguments.out}"):
        run = open_run(arguments, plan, facts, facts_of)
        summary = _play(
            arguments,
            plan,
            run,
            lambda finished, show: play_plan(
                plan, make, agent, finished, backend=backend, keep_commands=arguments.keep_commands, on_turn=show
            ),
        )
        summary.write(run.folder)
        if arguments.plots:
            write_plots(summary, run.path("plots"))
    show_summary(summary, as_json=arguments.json, folder=run.folder)
    return status_of(summary)


def _play(
    arguments: EvalConfig,
    plan: Plan,
    run: Run,
    play: Callable[[Collection[Key], Callable[[Turn], None]], Generator[Episode, None, None]],
) -> Summary:
    """Play the missing episodes and summarise all; `play` takes a callback for episodes and one for turns."""
    keys = plan.keys()
    with Journal(run.folder, keys, retry=not arguments.keep_errors) as journal:
        if journal.retried:
            sys.stderr.write(f"{journal.retried} episodes ended with an error and are tried again.\n")
        progress = Progress(Counter(env_id for env_id, _, _ in keys), journal.records)
        early_stop = EarlyStop(limit=0 if arguments.keep_going else _IN_A_ROW)
        playing = play(journal.finished, progress.turn)
        with tracking(
            arguments.report_to, run.folder, arguments.label or arguments.agent, _told(arguments)
        ) as trackers:
            with watch(progress) as show, closing(playing) as episodes:
                for episode in episodes:
                    record = journal.add(episode)
                    show(record)
                    trackers.progress(progress)
                    early_stop.add(record)
            records = journal.finish()
            summary = make_summary(records, plan, arguments.label, arguments.agent)
            trackers.finish(progress, summary)
    return summary


def status_of(summary: Summary) -> int:
    """Return the exit status of a program that made a summary; warn of episodes that ended with an error."""
    if not summary.errors:
        return 0
    sys.stderr.write(
        f"{summary.errors} of {summary.observations} episodes ended with an error and count as failures. "
        "act-gym eval --resume tries them again.\n"
    )
    return FailedEpisodesError.exit_status


def make_summary(records: Sequence[Record], plan: Plan, label: str, agent: str = "") -> Summary:
    """Measure the episodes of a run.

    Args:
        records: Their flat records.
        plan: The played episodes; it names the suites.
        label: Name of the run in comparisons; the agent's name if empty.
        agent: Its name where no episode tells it.
    """
    subject = next((record["agent"] for record in records if record["agent"]), agent)
    sample = protocol(plan.protocol).sample if plan.protocol else {}
    measured = measure(records, np.random.default_rng(0), sample=sample)
    return Summary(
        kind="episodes",
        label=label or subject,
        subject=subject,
        measurements=named(measured, plan.names()),
        failures=failures(records),
        protocol=plan.protocol,
    )


def _check(arguments: EvalConfig) -> None:
    refuse_secrets(arguments)
    if arguments.interface not in INTERFACES:
        raise UnknownNameError("interface", arguments.interface, INTERFACES)
    if arguments.keep_errors and not arguments.resume:
        raise UsageError("--keep-errors says what --resume leaves as it is; give it with --resume.")
    if arguments.max_turns < 0:
        raise UsageError("--max-turns is 0 (the benchmark's own) or more.")
    for name, count in (("limit", arguments.limit), ("per-type", arguments.per_type)):
        if count < 0:
            raise UsageError(f"--{name} is 0 (all) or more; got {count}.")
    for seed in arguments.seeds:
        if not 0 <= seed < 2**32:
            raise UsageError(f"--seeds are whole numbers from 0 to 4294967295; got {seed}.")
    if arguments.step_limit and arguments.max_turns:
        raise UsageError("--max-turns and --step-limit are two ways to say the same; give one of them.")
    repeatable: tuple[tuple[str, Sequence[object]], ...] = (
        ("suite", arguments.suite),
        ("env", arguments.env),
        ("seeds", arguments.seeds),
    )
    for name, values in repeatable:
        if len(set(values)) != len(values) or (name == "seeds" and not values):
            raise UsageError(f"--{name} needs each value only once, and --seeds at least one; got {values}.")


def check_environments(plan: Plan) -> None:
    """Make each environment once, so that options it does not take are refused; with options, begin a task too.

    Raises:
        ActGymError: An environment cannot be made, for want of data or a package or because of an option.
    """
    chosen = plan.env_options.keys() - {"step_limit", "max_episode_steps"}
    for part in plan.parts:
        try:
            with closing(make_env(part.env_id, plan.env_options)) as env:
                if chosen and part.tasks:
                    env.reset(seed=0, options={"task_id": part.tasks[0].id})
        except (EngineError, CorruptDataError):
            continue  # a simulator that fails ends one episode
        except ActGymError:
            raise
        except Exception as cause:  # a value of another type fails wherever it is first used
            options = ", ".join(f"{name}={value}" for name, value in plan.env_options.items())
            raise UsageError(f"{part.env_id} cannot be made with {options or 'its defaults'}: {cause}") from cause


def _told(arguments: EvalConfig) -> dict[str, Any]:
    """Return the settings that trackers get: tasks and options, without any that could be secret."""
    names = (
        "agent",
        "suite",
        "env",
        "protocol",
        "limit",
        "per_type",
        "max_turns",
        "step_limit",
        "seeds",
        "batch_size",
        "workers",
    )
    return {name: vars(arguments)[name] for name in names}


def _backend(arguments: EvalConfig) -> Backend:
    backend = Backend(
        name=arguments.backend,
        workers=arguments.workers,
        batch_size=arguments.batch_size,
        ray_address=arguments.ray_address,
        ray_gpus=arguments.ray_gpus,
    )
    backend.check()
    return backend


def plan_of(arguments: EvalConfig) -> Plan:
    """Return the plan of the arguments; `make_plan` and `benchmarks.protocols.applied` list the errors."""
    arguments = applied(arguments)
    return make_plan(
        arguments.suite,
        [at_level(env_id) for env_id in arguments.env or (() if arguments.suite else _DEFAULT)],
        seeds=arguments.seeds,
        env_options=_env_options(arguments),
        step_limit=arguments.step_limit,
        max_turns=arguments.max_turns,
        task_types=arguments.task_types,
        per_type=arguments.per_type,
        limit=arguments.limit,
        shard=arguments.shard,
        protocol=arguments.protocol,
    )


def _env_options(arguments: EvalConfig) -> dict[str, Any]:
    shift = [] if arguments.interface == INTERFACES[0] else [f"interface:kind={arguments.interface}"]
    wrappers = [*shift, *arguments.wrappers]
    options = read_settings(arguments.env_options, "--env-options")
    return {**options, "wrappers": wrappers} if wrappers else options


def words_of(settings: Mapping[str, Any], *, without: Collection[str] = ()) -> list[str]:
    """Return the words of a command line for these settings, without those that equal the defaults.

    Args:
        settings: Arguments by name, as the dataclass or a run's `config.json` has them.
        without: Further names to leave out.
    """
    words: list[str] = []
    for field in fields(EvalConfig):
        value = settings.get(field.name, field.default)
        value = tuple(value) if isinstance(value, list) else value
        if field.name in without or value in (field.default, ()):
            continue
        values = value if isinstance(value, tuple) else () if value is True else (value,)
        words += [f"--{field.name.replace('_', '-')}", *map(str, values)]
    return words


def _agent(spec: str, options: dict[str, str], backend: Backend) -> tuple[Callable[[], Agent], Agent | None]:
    """Return how a process makes its agent, and the agent itself.

    On Ray an agent of one's own is made in the actors alone: it may need what only their machines have.
    """
    make = partial(make_agent, spec, options)
    return make, None if is_foreign(spec) and backend.name == "ray" else Guarded(make())


def options_of(arguments: EvalConfig) -> dict[str, str]:
    """Return the agent's settings: as they were given, those of the protocol, and prompts for another interface.

    Raises:
        UsageError: A setting contradicts the protocol.
    """
    options = dict(_option(word) for word in arguments.agent_options)
    named = {"model": arguments.model, "base_url": arguments.base_url}
    options |= {name: value for name, value in named.items() if value}
    prompts = f"interface-{arguments.interface}"
    options = agent_settings(arguments.protocol, arguments.agent, options)
    given = parse_agent(arguments.agent)[1]
    if arguments.interface != INTERFACES[0] and takes_setting(arguments.agent, "prompts") and "prompts" not in given:
        options = {"prompts": prompts, **options}  # the default set explains the original commands
    return options


def _option(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise UsageError(f"--agent-options takes name=value, e.g. decode=ranked; got {word!r}.")
    return name, value


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
