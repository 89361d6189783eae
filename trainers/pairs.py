"""Action pairs of Agentic Critical Training: every expert action with an alternative.

    act-gym train pairs --episodes runs/x/collect/episodes.jsonl --proposer ranked --out runs/x/pairs

The program writes `decisions.jsonl` (every expert state; imitation and RL learn from them), `pairs.jsonl` (the
judgement's training data), `proposals.jsonl` (the outcome of every state) and `summary.json`.

An alternative equal to the expert's action after `agents.prompts.normalise` is discarded and the
state then gives no pair, as in version 2 of the paper. With `--per-state K` up to K distinct
alternatives are kept, as in version 1. Every draw depends on the seed and the state alone.

    act-gym train pairs --at policy --proposer played --episodes runs/x/dagger/round-1/episodes.jsonl

makes pairs where a policy was: at each state that it reached and an expert labelled, the label against the policy's own
action. No model is asked.

The files hold raw data: goal, observations, actions, commands. A question is rendered from them when a model is asked.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from act_gym.config import NotNegative, Positive, check_bounds, parse
from act_gym.errors import UsageError
from act_gym.io.jsonl import RecordWriter, read_records, replacing, write_json, write_records
from act_gym.io.run_dir import Run
from act_gym.progress import track
from act_gym.types import ActionPair, ExpertStep
from trainers.data.expert_steps import At, ExpertStates
from trainers.data.pair_stats import datasheet, in_words
from trainers.data.proposers import ProposerSettings, asked, generator_of
from trainers.run import provenance
from trainers.run.cleanup import discard_unstarted
from trainers.run.logging import note

__all__ = ["PairsConfig", "check", "main", "propose"]


@dataclass(frozen=True, kw_only=True)
class PairsConfig(ProposerSettings):
    """Propose an alternative at every expert state and draw the order of the two actions."""

    episodes: tuple[Path, ...] = ()
    """Files of episodes from `act-gym train collect` or `dagger`."""
    at: At = "expert"
    """expert: the states of successful expert episodes. policy: every state that an expert labelled, in any episode,
    also of a model that failed."""
    reuse: Path | None = None
    """Take the pairs of this file as they are, from any model; no model is asked. The run records their proposer."""
    proposer: Literal["free", "ranked", "random", "played"] = "ranked"
    """free: what the policy writes. ranked: drawn from its 16 likeliest admissible commands. random: any of them.
    played: the action that was played where the expert's label is another; no model is asked."""
    per_state: Positive = 1
    """Alternatives for each state at most."""
    limit: NotNegative = 0
    """At most this many states, drawn from all of them; 0 for all."""
    count: NotNegative = 0
    """Stop at this many pairs: states are asked in a drawn order, and those not reached are left out of
    decisions.jsonl as well; 0 asks all."""
    out: Path = Path("runs/pairs")
    """The run folder."""
    resume: bool = False
    """Continue the run in the folder."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    propose(parse(PairsConfig, sys.argv[1:] if argv is None else argv, program="act-gym train pairs"))
    return 0


@discard_unstarted
def propose(arguments: PairsConfig) -> None:
    """Propose the remaining alternatives, and write the summary of the run to stdout.

    Raises:
        UsageError: The arguments do not fit together.
    """
    check(arguments)
    inputs = [*arguments.episodes, *([arguments.reuse] if arguments.reuse else [])]
    run = Run(arguments.out, "trainers.pairs", arguments, inputs=inputs, resume=arguments.resume)
    if arguments.reuse:
        _reuse(arguments, arguments.reuse, run)
    else:
        _propose_all(arguments, ExpertStates(arguments.episodes, arguments.at), run)
    sheet = datasheet(run.path("pairs.jsonl"), run.path("decisions.jsonl"), run.path("proposals.jsonl"))
    write_json(run.path("summary.json"), sheet)
    sys.stdout.write(in_words(sheet))
    if arguments.proposer == "played" and not sheet["pairs"]:
        note("note: every action that was played is the expert's, so there is nothing to compare it with.")
    if arguments.proposer == "free" and sheet["unreadable_replies"] > sheet["pairs"]:
        note(
            f"note: most replies held no action. They are cut after --max-new-tokens {arguments.max_new_tokens}"
            + ("; reasoning needs hundreds." if arguments.thinking else ".")
        )


def check(arguments: PairsConfig) -> None:
    """Check that settings fit together.

    Raises:
        UsageError: The settings do not fit together.
    """
    check_bounds(arguments)
    if bool(arguments.episodes) == bool(arguments.reuse):
        raise UsageError("Give either --episodes FILE… (from `act-gym train collect`) or --reuse PAIRS.")
    arguments.asking(thinking=arguments.thinking)


def _order(arguments: PairsConfig, states: int) -> list[int]:
    """Return the numbers of the states that are asked, in order: the limit is drawn first, then the order."""
    numbers: Sequence[int] = range(states)
    if 0 < arguments.limit < states:
        drawn = np.random.default_rng(arguments.seed).permutation(states)[: arguments.limit]
        numbers = sorted(drawn.tolist())
    if not arguments.count:
        return list(numbers)
    order = np.random.default_rng([arguments.seed, arguments.count]).permutation(len(numbers))
    return [numbers[index] for index in order.tolist()]


def _propose_all(arguments: PairsConfig, states: ExpertStates, run: Run) -> None:
    """Write the drawn states, and ask about them; with `count`, about no more than are needed."""
    order, path = _order(arguments, len(states)), run.path("decisions.jsonl")
    drawn = arguments.count + arguments.count // 4 + 64 if arguments.count else len(order)
    while True:
        states.write(path, order[:drawn])
        reached = _propose(arguments, path, min(drawn, len(order)), run)
        if reached < drawn or drawn >= len(order):
            break
        drawn *= 2  # many states gave no pair
    if reached < min(drawn, len(order)):
        _keep_first(path, reached)


def _keep_first(path: Path, count: int) -> None:
    with path.open(encoding="utf-8") as before, replacing(path) as file:
        file.writelines(islice(before, count))


def _reuse(arguments: PairsConfig, source: Path, run: Run) -> None:
    def pairs() -> Iterator[ActionPair]:
        return (ActionPair.from_json(record) for record in islice(read_records(source), arguments.limit or None))

    def decisions() -> Iterator[dict[str, Any]]:
        seen: set[str] = set()
        for pair in pairs():
            if pair.step.id not in seen:
                seen.add(pair.step.id)
                yield pair.step.to_json()

    write_records(run.path("decisions.jsonl"), decisions())
    written = _written(run.path("pairs.jsonl"))
    provenance.take_over(source, run.folder)
    with RecordWriter(run.path("pairs.jsonl")) as file:
        for pair in pairs():
            if (pair.step.id, pair.alternative) not in written:
                file.write(pair.to_json())


def _propose(arguments: PairsConfig, states: Path, total: int, run: Run) -> int:
    """Ask about the states in a file that were not asked about, up to `count` pairs; return how many were in all.

    They are the first in the file. No more than a batch of them is in memory.
    """
    log = run.path("proposals.jsonl")
    finished = {record["id"] for record in read_records(log)} if log.exists() else set()
    written = _written(run.path("pairs.jsonl"))
    begun = {place for place, _ in written} - finished  # a pair may be there although its state was not finished
    enough = arguments.count or math.inf

    def waiting() -> Iterator[ExpertStep]:
        for step in map(ExpertStep.from_json, read_records(states)):
            if step.id not in finished and (len(written) < enough or step.id in begun):
                yield step

    found = asked(arguments, arguments.proposer, waiting(), arguments.per_state, run.folder)
    proposals = track(found, "states", total=total, done=len(finished))
    with RecordWriter(run.path("pairs.jsonl")) as pairs, RecordWriter(log) as outcomes:
        for step, proposal, proposer in proposals:
            if len(written) >= enough and step.id not in begun:
                break
            coins = generator_of(arguments.seed, step, "order")
            for alternative in proposal.alternatives:
                pair = ActionPair(
                    step=step,
                    alternative=alternative,
                    proposer=proposer,
                    expert_first=bool(coins.integers(2)),
                )
                if (step.id, alternative) not in written and len(written) < enough:
                    pairs.write(pair.to_json())
                    written.add((step.id, alternative))
            outcomes.write({"id": step.id, "task_type": step.task.task_type, **asdict(proposal)})
            finished.add(step.id)
    return len(finished)


def _written(path: Path) -> set[tuple[str, str]]:
    if not path.exists():
        return set()
    return {(record["step"]["id"], record["alternative"]) for record in read_records(path)}


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
