"""Early Experience data: outcomes of alternatives to the expert's actions in the environment.

    act-gym train early-experience --decisions runs/x/pairs/decisions.jsonl --out runs/x/early-experience

At every expert state the policy proposes `--alternatives` actions and `--explore` random admissible
commands are drawn (`proposers.py`); each is executed and the state restored (`execution.py`).
The program writes `experience.jsonl`, a line for each action: the expert's first, then the others; `proposals.jsonl`
(the proposals), `walks.jsonl` (the outcome of every episode) and `summary.json`. The stages
`self-reflection` and `world-model` learn from it. With `--proposer pairs` the alternatives of a file of pairs are
executed instead; this measures how many of them are as good as the expert's action. Source: arXiv 2510.08558.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from act_gym.config import NotNegative, Positive, check_bounds, parse, read_settings
from act_gym.io.jsonl import RecordWriter, read_records, write_json
from act_gym.io.run_dir import Run, named_files
from act_gym.progress import track
from act_gym.types import ExpertStep, Transition
from trainers.data.execution import Stop, Walk, execute, grouped
from trainers.data.proposers import Proposal, ProposerSettings, asked, choose
from trainers.data.questions import read_pairs, read_steps
from trainers.run import provenance
from trainers.run.cleanup import discard_unstarted
from trainers.run.logging import note

__all__ = ["EarlyExperienceConfig", "carry_out", "main"]


@dataclass(frozen=True, kw_only=True)
class EarlyExperienceConfig(ProposerSettings):
    """Execute alternatives to the expert's actions and keep their outcomes."""

    decisions: Path = Path("runs/pairs/decisions.jsonl")
    """Expert states from `act-gym train pairs`; each holds the actions that lead to it."""
    env_options: tuple[str, ...] = ()
    """The engine's own settings as name=value, those that the episodes were collected with."""
    proposer: Literal["free", "ranked", "random", "pairs"] = "free"
    """free: what the policy writes. ranked: drawn from its 16 likeliest admissible commands. random: any of them, no
    model is asked. pairs: the alternatives of the file of pairs, as they are."""
    pairs: Path = Path("runs/pairs/pairs.jsonl")
    """For `--proposer pairs`."""
    alternatives: NotNegative = 3
    """Proposals at each state; 0 asks no model."""
    explore: NotNegative = 8
    """Random admissible commands tried at each state in addition."""
    limit: NotNegative = 0
    """Only the first so many states; 0 for all."""
    tries: Positive = 1
    """With free: attempts until a reply holds an action; random commands replace replies that hold none."""
    workers: Positive = 1
    """Processes that play at once, each with its own simulator."""
    out: Path = Path("runs/early-experience")
    """The run folder."""
    resume: bool = False
    """Continue the run in the folder; neither a model nor an environment is asked twice."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    carry_out(
        parse(EarlyExperienceConfig, sys.argv[1:] if argv is None else argv, program="act-gym train early-experience")
    )
    return 0


@discard_unstarted
def carry_out(arguments: EarlyExperienceConfig) -> dict[str, Any]:
    """Execute the remaining actions, write the summary of the run to stdout and return it.

    Raises:
        UsageError: The arguments do not fit together.
        RunError: A file cannot be read, or a process died.
    """
    check_bounds(arguments)
    steps = read_steps(arguments.decisions, arguments.limit)
    inputs = [arguments.decisions, *([arguments.pairs] if arguments.proposer == "pairs" else [])]
    facts = {"env_option_files": named_files(read_settings(arguments.env_options, "--env-options"))}
    opened = Run(
        arguments.out, "trainers.early_experience", arguments, inputs=inputs, facts=facts, resume=arguments.resume
    )
    proposals = _proposals(arguments, steps, opened)
    stops = [
        Stop(
            replace(step, admissible_commands=()),
            choose(
                step,
                *proposals[step.id],
                alternatives=arguments.alternatives if arguments.proposer != "pairs" else 0,
                explore=arguments.explore,
                seed=arguments.seed,
            ).attempts,
        )
        for step in steps
    ]
    _walk_all(arguments, grouped(stops), opened)
    summary = _summary(opened)
    write_json(opened.path("summary.json"), summary)
    sys.stdout.write(_in_words(summary, opened.path("experience.jsonl")))
    return summary


def _proposals(
    arguments: EarlyExperienceConfig, steps: Sequence[ExpertStep], run: Run
) -> dict[str, tuple[Proposal, str]]:
    """Return the proposal at each step, and its proposer."""
    if arguments.proposer == "pairs":
        provenance.take_over(arguments.pairs, run.folder)
        return _from_pairs(arguments.pairs, steps)
    if arguments.proposer == "random" or not arguments.alternatives:
        provenance.note_proposer(run.folder, "random")
        return {step.id: (Proposal(()), "") for step in steps}
    log = run.path("proposals.jsonl")
    done = {record["id"]: record for record in read_records(log)} if log.exists() else {}
    waiting = [step for step in steps if step.id not in done]
    found = asked(arguments, arguments.proposer, waiting, arguments.alternatives, run.folder)
    with RecordWriter(log) as writer:
        for step, proposal, name in track(found, "states", total=len(steps), done=len(done)):
            record = {"id": step.id, "proposer": name, **asdict(proposal)}
            writer.write(record)
            done[step.id] = record
    return {name: (_proposal(record), record["proposer"]) for name, record in done.items()}


def _proposal(record: Mapping[str, Any]) -> Proposal:
    return Proposal(
        tuple(record["alternatives"]), **{name: record[name] for name in ("matched", "repeated", "unreadable")}
    )


def _from_pairs(path: Path, steps: Sequence[ExpertStep]) -> dict[str, tuple[Proposal, str]]:
    found: dict[str, tuple[Proposal, str]] = {step.id: (Proposal(()), "") for step in steps}
    for pair in read_pairs(path):
        before, _ = found.get(pair.step.id, (Proposal(()), ""))
        found[pair.step.id] = Proposal((*before.alternatives, pair.alternative)), pair.proposer
    return found


def _walk_all(arguments: EarlyExperienceConfig, walks: Sequence[Walk], run: Run) -> None:
    log, kept = run.path("walks.jsonl"), run.path("experience.jsonl")
    finished = {record["id"] for record in read_records(log)} if log.exists() else set()
    written = Counter(record["step"]["id"] for record in read_records(kept)) if kept.exists() else Counter()
    waiting = [way for way in walks if way.id not in finished]
    options = read_settings(arguments.env_options, "--env-options")
    played = execute(waiting, env_options=options, workers=arguments.workers)
    played = track(played, "episodes", total=len(walks), done=len(walks) - len(waiting))
    # A kill loses no written record; a crash of the machine may lose some, which are computed again.
    with RecordWriter(kept, sync_every=1.0) as records, RecordWriter(log) as outcomes:
        for way, found, error in played:
            # The run is deterministic, so the lines of an interrupted episode are its beginning.
            for record in found[sum(written[stop.step.id] for stop in way.stops) :]:
                records.write(record.to_json())
            records.sync()  # before the line that says it is complete
            outcomes.write({"id": way.id, "states": len(way.stops), "actions": len(found), "error": error})
            if error:
                note(f"{way.task.id}: {error}")


def _summary(run: Run) -> dict[str, Any]:
    sources: dict[str, Counter[str]] = {}
    states = 0
    for data in read_records(run.path("experience.jsonl")):
        record = Transition.from_json(data)
        states += record.is_expert
        counts = sources.setdefault(record.source, Counter())
        counts.update(actions=1, valid=record.action_valid, same=record.same_as_expert, success=record.success)
    walks = list(read_records(run.path("walks.jsonl")))
    return {
        "kind": "early-experience",
        "states": states,
        "episodes": len(walks),
        "failed": sum(bool(one["error"]) for one in walks),
        "sources": {
            name: {
                "actions": counts["actions"],
                "valid": counts["valid"] / counts["actions"],
                "same_as_expert": counts["same"] / counts["actions"],
                "success": counts["success"] / counts["actions"],
            }
            for name, counts in sources.items()
        },
    }


def _in_words(summary: Mapping[str, Any], path: Path) -> str:
    failed = f" ({summary['failed']} failed)" if summary["failed"] else ""
    lines = [f"{summary['states']} states of {summary['episodes']} episodes{failed}: {path}"]
    lines += [
        f"  {name:<40} {of['actions']:>7} actions, {of['valid']:.0%} carried out, {of['same_as_expert']:.0%} lead to "
        "the same state as the expert's"
        for name, of in summary["sources"].items()
        if name != "expert"
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
