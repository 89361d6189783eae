"""DAgger: on-policy imitation with an expert that labels every state the model reaches.

    act-gym train dagger --model runs/imitation/checkpoint --episodes runs/collect/episodes.jsonl --out runs/dagger

A round plays training games with a mixture of expert and model, labels every state with the expert's action, and
trains on all episodes so far (`trainers.rounds`). Source: Ross, Gordon, Bagnell, "A Reduction of Imitation Learning and
Structured Prediction to No-Regret Online Learning" (2011).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from act_gym.cli import run as run_program
from act_gym.config import Bound, Share, parse
from act_gym.errors import UsageError
from act_gym.io.jsonl import read_records
from act_gym.io.run_dir import Run
from act_gym.types import Turn
from agents.local.agent import LocalAgent, LocalSettings
from agents.mixture import MixtureAgent
from agents.registry import make_agent
from trainers import rounds
from trainers.collect import check_labels
from trainers.run.cleanup import discard_unstarted
from trainers.run.logging import note
from trainers.run.stage import show

__all__ = ["DaggerConfig", "check", "main", "train"]


@dataclass(frozen=True, kw_only=True)
class DaggerConfig(rounds.RoundSettings):
    """Let the model play, label every state with an expert's action, and train on all episodes so far."""

    out: Path = Path("runs/dagger")
    """The run folder."""

    expert: Literal["search", "expert"] = "search"
    """Who labels: `search` knows what the episode has shown (ALFWorld); `expert` plans with the whole state, so it
    teaches hidden knowledge as well (ALFWorld, WebShop)."""

    betas: tuple[Share, ...] = (0.5, 0.25, 0.0)
    """Share of turns that the expert plays, 0-1, in each round; the last one holds for all later rounds."""

    temperature: Annotated[float, Bound(least=0)] = 0.0
    """Sampling temperature of the model that plays; 0 takes the likeliest token, as an evaluation does."""


def check(arguments: DaggerConfig) -> None:
    """Refuse settings that cannot work, before any game is played.

    Raises:
        UsageError: The settings cannot work, or the expert cannot label the states of an environment.
    """
    rounds.check(arguments, "dagger")
    if not arguments.betas:
        raise UsageError(f"--betas are shares of turns, 0 to 1, at least one; got {list(arguments.betas)}.")
    check_labels(arguments.env, arguments.expert, arguments.options())


@discard_unstarted
def train(arguments: DaggerConfig) -> dict[str, Any]:
    """Run all rounds that are not finished; return the last training's summary."""
    check(arguments)
    return rounds.train_in_rounds(
        arguments, "trainers.dagger", lambda run, number, model: _play_round(arguments, run, number, model)
    )


def _play_round(arguments: DaggerConfig, run: Run, number: int, model: str) -> None:
    """Play a round's games that are not played yet, and log the result."""
    beta = arguments.betas[min(number, len(arguments.betas)) - 1]

    def agent() -> MixtureAgent:
        settings = LocalSettings(
            model=model, history="conversation", prompts=arguments.prompts, temperature=arguments.temperature
        )
        return MixtureAgent(make_agent(arguments.expert), LocalAgent(settings), beta)

    jobs = list(rounds.round_jobs(arguments, number, [arguments.seed + number]))
    path = arguments.out / f"round-{number}" / "episodes.jsonl"
    found = rounds.play_missing(arguments, jobs, path, agent, f"round {number}, games")
    turns = [turn for episode in found for turn in episode.turns]
    labels = sum(bool(turn.label) for turn in turns)
    agreement = _agreement(turns)
    before = _agreement_before(run, number)
    if agreement < before / 2:
        note(
            f"In round {number} the model agrees with the expert in {agreement:.0%} of its turns, in the round before "
            f"in {before:.0%}: the training between them unlearnt more than it taught. Try a smaller "
            f"--learning-rate than {arguments.learning_rate:g}."
        )
    run.log(
        event="round",
        round=number,
        beta=beta,
        games=len(found),
        success=sum(episode.success for episode in found) / max(1, len(found)),
        turns=len(turns),
        unlabelled=len(turns) - labels,
        agreement=agreement,
    )


def _agreement_before(run: Run, number: int) -> float:
    """Return the agreement of the round before; 0 for the first round."""
    path = run.path("metrics.jsonl")
    lines = read_records(path) if path.exists() else ()
    found = [line["agreement"] for line in lines if line.get("event") == "round" and line["round"] == number - 1]
    return found[-1] if found else 0.0


def _agreement(turns: Sequence[Turn]) -> float:
    """Return the share of the model's own turns in which it plays the expert's action."""
    own = [turn for turn in turns if turn.prompt_hash and turn.label]
    return sum(turn.label == turn.action for turn in own) / max(1, len(own))


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    arguments = parse(DaggerConfig, argv, program="act-gym train dagger")
    show(train(arguments), arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_program(main, sys.argv[1:]))
