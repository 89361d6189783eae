"""Puts an alternative beside every expert action: the questions of Agentic Critical Training.

    act-gym train pairs --episodes runs/x/collect/episodes.jsonl --propose ranked --out runs/x/pairs

Writes `decisions.jsonl` (every expert state; imitation and RL learn from them), `pairs.jsonl` (the
judgement's training data), `proposals.jsonl` (what became of every state) and `summary.json`.

An alternative equal to the expert's action after `agents.prompts.normalise` is discarded and the
state then gives no pair, as in version 2 of the paper. With `--per-state K` up to K distinct
alternatives are kept, as in version 1. Every draw depends on the seed and the decision alone.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from act_gym.arguments import parse
from act_gym.core import ActionPair, Decision
from act_gym.errors import UsageError
from act_gym.progress import track
from act_gym.records import RecordWriter, read_records, replacing, write_json
from act_gym.run import Run
from trainers.examples.decisions import StateSettings, expert_decisions
from trainers.examples.proposals import ProposerSettings, asked, generator_of
from trainers.examples.sheets import datasheet, in_words
from trainers.runs import provenance

__all__ = ["Arguments", "main", "propose"]


@dataclass(frozen=True, kw_only=True)
class Arguments(ProposerSettings):
    """Propose an alternative at every expert state and draw the order of the two actions."""

    episodes: tuple[Path, ...] = ()
    """Files of expert episodes from `trainers.collect`."""
    reuse: Path | None = None
    """Take the pairs of this file as they are, whoever made them; no model is asked. The run says whose they are."""
    propose: Literal["free", "ranked", "random"] = "ranked"
    """free: what the policy writes. ranked: drawn from its 16 likeliest admissible commands. random: any of them."""
    per_state: int = 1
    """Alternatives for each state at most."""
    limit: int = 0
    """At most this many states, drawn from all of them; 0 for all."""
    count: int = 0
    """Stop at this many pairs: states are asked in a drawn order, and those not reached are left out of
    decisions.jsonl as well; 0 asks all."""
    out: Path = Path("runs/pairs")
    """The run folder."""
    window: int = 3
    """How many recent turns a state shows."""
    list_commands: int = 0
    """How many admissible commands a state lists at most; 0 lists none."""
    max_characters: int = 1200
    """Each observation in a state is cut to this length."""
    resume: bool = False
    """Continue the run in the folder."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    propose(parse(Arguments, sys.argv[1:] if argv is None else argv, program="act-gym train pairs"))
    return 0


def propose(arguments: Arguments) -> None:
    """Propose what is not proposed yet, and write the summary of the run to stdout.

    Raises:
        UsageError: The arguments do not fit together.
    """
    _check(arguments)
    inputs = [*arguments.episodes, *([arguments.reuse] if arguments.reuse else [])]
    run = Run(arguments.out, "trainers.pairs", arguments, inputs=inputs, resume=arguments.resume)
    if arguments.reuse:
        _reuse(arguments, arguments.reuse, run)
    else:
        settings = StateSettings(arguments.window, arguments.list_commands, arguments.max_characters)
        decisions = _limited(list(expert_decisions(arguments.episodes, settings)), arguments)
        if arguments.count:
            drawn = np.random.default_rng([arguments.seed, arguments.count]).permutation(len(decisions))
            decisions = [decisions[index] for index in drawn.tolist()]
        _write_all(run.path("decisions.jsonl"), decisions)
        reached = _propose(arguments, decisions, run)
        if len(reached) < len(decisions):
            _write_all(run.path("decisions.jsonl"), reached)
    sheet = datasheet(run.path("pairs.jsonl"), run.path("decisions.jsonl"), run.path("proposals.jsonl"))
    write_json(run.path("summary.json"), sheet)
    sys.stdout.write(in_words(sheet))


def _check(arguments: Arguments) -> None:
    if bool(arguments.episodes) == bool(arguments.reuse):
        raise UsageError("Give either --episodes FILE… (from `act-gym train collect`) or --reuse PAIRS.")
    for name in ("per_state", "batch_size", "tries", "max_new_tokens"):
        if getattr(arguments, name) < 1:
            raise UsageError(f"--{name.replace('_', '-')} is at least 1; got {getattr(arguments, name)}.")
    if arguments.temperature <= 0:
        raise UsageError(f"--temperature is above 0; got {arguments.temperature}.")


def _limited(decisions: list[Decision], arguments: Arguments) -> list[Decision]:
    if not 0 < arguments.limit < len(decisions):
        return decisions
    drawn = np.random.default_rng(arguments.seed).permutation(len(decisions))[: arguments.limit]
    return [decisions[index] for index in sorted(drawn.tolist())]


def _write_all(path: Path, records: Sequence[Decision]) -> None:
    """Write a file that is complete or absent; cheaper than a `RecordWriter`, which waits for every line."""
    with replacing(path) as file:
        for record in records:
            file.write(json.dumps(record.to_json(), ensure_ascii=False, separators=(",", ":")) + "\n")


def _reuse(arguments: Arguments, source: Path, run: Run) -> None:
    pairs = [ActionPair.from_json(record) for record in read_records(source)][: arguments.limit or None]
    decisions = {pair.decision.id: pair.decision for pair in pairs}
    _write_all(run.path("decisions.jsonl"), list(decisions.values()))
    written = _written(run.path("pairs.jsonl"))
    provenance.take_over(source, run.folder)
    with RecordWriter(run.path("pairs.jsonl")) as file:
        for pair in pairs:
            if (pair.decision.id, pair.alternative) not in written:
                file.write(pair.to_json())


def _propose(arguments: Arguments, decisions: list[Decision], run: Run) -> list[Decision]:
    """Ask about the states that were not asked about; return all that were, up to `count` pairs."""
    log = run.path("proposals.jsonl")
    finished = {record["id"] for record in read_records(log)} if log.exists() else set()
    written = _written(run.path("pairs.jsonl"))
    begun = {place for place, _ in written} - finished  # a pair may be there although its state was not finished
    enough = arguments.count or math.inf
    waiting = [d for d in decisions if d.id not in finished and (len(written) < enough or d.id in begun)]
    found = asked(arguments, arguments.propose, waiting, arguments.per_state, run.folder)
    proposals = track(found, "states", total=len(decisions), done=len(decisions) - len(waiting))
    with RecordWriter(run.path("pairs.jsonl")) as pairs, RecordWriter(log) as outcomes:
        for decision, proposal, proposer in proposals:
            if len(written) >= enough and decision.id not in begun:
                break
            coins = generator_of(arguments.seed, decision, "order")
            for alternative in proposal.alternatives:
                pair = ActionPair(
                    decision=decision,
                    alternative=alternative,
                    proposer=proposer,
                    expert_first=bool(coins.integers(2)),
                )
                if (decision.id, alternative) not in written and len(written) < enough:
                    pairs.write(pair.to_json())
                    written.add((decision.id, alternative))
            outcomes.write({"id": decision.id, "task_type": decision.task.task_type, **asdict(proposal)})
            finished.add(decision.id)
    return [decision for decision in decisions if decision.id in finished]


def _written(path: Path) -> set[tuple[str, str]]:
    if not path.exists():
        return set()
    return {(record["decision"]["id"], record["alternative"]) for record in read_records(path)}


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
