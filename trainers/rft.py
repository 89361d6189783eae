"""Rejection sampling fine-tuning (RFT): supervised training on the model's own successful episodes.

    act-gym train rft --model runs/imitation/checkpoint --episodes-per-task 4 --out runs/rft

A round plays each of its training games several times at a temperature, keeps the successful episodes, each sequence of
actions once and the shortest first, and trains on them as whole episodes (`trainers.rounds`). `played.jsonl` of a round
holds all its episodes, `episodes.jsonl` those that were kept. An action that the environment refused stays in the
context, without a loss. Sources: Yuan et al., "Scaling Relationship on Learning Mathematical Reasoning with Large
Language Models" (2023, RFT); Zelikman et al., "STaR" (2022), which trains the initial model in each round
(`--start initial`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from act_gym.agent import Agent
from act_gym.cli import run as run_program
from act_gym.config import Bound, NotNegative, Positive, parse
from act_gym.errors import UsageError
from act_gym.io.jsonl import write_records
from act_gym.io.run_dir import Run
from act_gym.types import Episode
from agents.local.agent import LocalAgent, LocalSettings
from agents.registry import make_agent
from trainers import rounds
from trainers.run.cleanup import discard_unstarted
from trainers.run.stage import show

__all__ = ["RFTConfig", "check", "main", "successes", "train"]


@dataclass(frozen=True, kw_only=True)
class RFTConfig(rounds.RoundSettings):
    """Let the model play each game several times, and train on the episodes in which it succeeded."""

    out: Path = Path("runs/rft")
    """The run folder."""

    agent: str = ""
    """Who plays: any agent of `act-gym eval` with its settings, e.g. `local:model=runs/x/checkpoint,temperature=0.7`;
    the model of each round at --temperature if empty."""

    temperature: Annotated[float, Bound(least=0)] = 1.0
    """Sampling temperature of the model that plays; at 0 all episodes of a game are the same."""

    episodes_per_task: Positive = 4
    """Episodes of each game, with different seeds."""

    keep_per_task: NotNegative = 1
    """Successful episodes kept of each game, the shortest first; 0 for all."""

    def episodes_a_round(self) -> int:
        """Return how many episodes a round plays."""
        return self.games * self.episodes_per_task


def check(arguments: RFTConfig) -> None:
    """Refuse settings that cannot work, before any game is played.

    Raises:
        UsageError: The settings cannot work.
    """
    rounds.check(arguments, "rft")
    if arguments.agent and arguments.rounds > 1:
        raise UsageError(
            f"--agent {arguments.agent} would play in all {arguments.rounds} rounds, so no round would play with what "
            "the one before has learnt. Use --rounds 1, or leave --agent out: the model of each round plays."
        )
    if not arguments.agent and not arguments.temperature and arguments.episodes_per_task > 1:
        raise UsageError(
            f"At --temperature 0 the {arguments.episodes_per_task} episodes of a game are the same. Use a temperature "
            "above 0, or --episodes-per-task 1."
        )


@discard_unstarted
def train(arguments: RFTConfig) -> dict[str, Any]:
    """Run all rounds that are not finished; return the last training's summary."""
    check(arguments)
    return rounds.train_in_rounds(
        arguments, "trainers.rft", lambda run, number, model: _play_round(arguments, run, number, model)
    )


def successes(episodes: Iterable[Episode], keep: int) -> list[Episode]:
    """Return the successful episodes that are learnt, each turn labelled with its own action.

    Args:
        episodes: Played ones, several of a task.
        keep: Episodes of each task at most, the shortest first; 0 for all. Those with the same actions count once.
    """
    of_task: dict[str, dict[tuple[str, ...], Episode]] = {}
    for episode in episodes:
        if episode.success:
            actions = tuple(turn.action for turn in episode.turns)
            of_task.setdefault(episode.task.id, {}).setdefault(actions, episode)
    kept = [sorted(one.values(), key=lambda episode: len(episode.turns))[: keep or None] for one in of_task.values()]
    return [_labelled(episode) for one in kept for episode in one]


def _labelled(episode: Episode) -> Episode:
    turns = (replace(turn, label=turn.action if turn.action_valid else "") for turn in episode.turns)
    return replace(episode, turns=tuple(turns))


def _play_round(arguments: RFTConfig, run: Run, number: int, model: str) -> None:
    """Play a round's games that are not played yet, and keep the successful episodes.

    Raises:
        UsageError: No episode is successful.
    """

    def agent() -> Agent:
        if arguments.agent:
            return make_agent(arguments.agent)
        return LocalAgent(
            LocalSettings(
                model=model, history="conversation", prompts=arguments.prompts, temperature=arguments.temperature
            )
        )

    first = arguments.seed + (number - 1) * arguments.episodes_per_task
    jobs = list(rounds.round_jobs(arguments, number, range(first, first + arguments.episodes_per_task)))
    folder = arguments.out / f"round-{number}"
    found = rounds.play_missing(arguments, jobs, folder / "played.jsonl", agent, f"round {number}, episodes")
    kept = successes(found, arguments.keep_per_task)
    solved = sum(episode.success for episode in found)
    if not kept:
        before = arguments.out / f"round-{number - 1}" / "train" / "checkpoint"
        learnt = f" The checkpoint of the round before is {before}." if number > 1 else ""
        raise UsageError(
            f"0 of {len(found)} episodes succeeded, so there is nothing to learn from.{learnt} Start from an imitation "
            "checkpoint: act-gym train imitation --episodes runs/collect/episodes.jsonl"
        )
    write_records(folder / "episodes.jsonl", [episode.to_json() for episode in kept])
    run.log(
        event="round",
        round=number,
        episodes=len(found),
        success=solved / len(found),
        solved_games=len({episode.task.id for episode in kept}),
        kept=len(kept),
        turns=sum(len(episode.turns) for episode in kept),
    )


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    arguments = parse(RFTConfig, argv, program="act-gym train rft")
    show(train(arguments), arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_program(main, sys.argv[1:]))
