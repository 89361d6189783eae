"""Rounds of playing and training, shared by DAgger and rejection sampling.

Each round has a folder `round-<n>`: its own `episodes.jsonl`, and the training `train` on all episodes
so far, those of --episodes included. A stopped run continues where it was.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from act_gym.agent import Agent
from act_gym.benchmarks import parse_id
from act_gym.config import Positive, check_bounds, read_settings
from act_gym.errors import UsageError
from act_gym.io.jsonl import RecordWriter, as_record, read_records
from act_gym.io.run_dir import Run, named_files
from act_gym.progress import track
from act_gym.rollout import Job, play_jobs
from act_gym.sampling import select_from
from act_gym.types import Episode
from trainers import imitation
from trainers.collect import in_order
from trainers.run import checkpoints, eval_panel
from trainers.run.logging import note
from trainers.sft.episodes import EpisodeStageConfig

__all__ = ["Playing", "RoundSettings", "check", "play_missing", "round_jobs", "train_in_rounds", "without_commands"]


@dataclass(frozen=True, kw_only=True)
class Playing:
    """Which games are played in rounds, and how."""

    env: tuple[str, ...] = ("act/ALFWorld-train",)
    """Environments whose games are played."""

    task_types: tuple[str, ...] = ()
    """Only games of these types; all if there are none."""

    env_options: tuple[str, ...] = ()
    """The environments' own settings as name=value."""

    rounds: Positive = 1
    """Rounds of playing and training."""

    games: Positive = 200
    """Games played in a round."""

    max_turns: Positive = 40
    """Step limit of a game."""

    parallel_games: Positive = 32
    """Games that the model plays at once."""

    start: Literal["last", "initial"] = "last"
    """Each round trains the model of the round before (last), or the initial one from the beginning (initial)."""

    new_only: bool = False
    """Train on the episodes of the rounds alone, without those of --episodes."""


@dataclass(frozen=True, kw_only=True)
class RoundSettings(EpisodeStageConfig, Playing):
    """All settings that a stage of rounds has."""

    def options(self) -> dict[str, Any]:
        """Return the environments' own settings."""
        return read_settings(self.env_options, "--env-options")

    def episodes_a_round(self) -> int:
        """Return how many episodes a round plays."""
        return self.games


def check(arguments: RoundSettings, stage: str) -> None:
    """Refuse settings that no stage of rounds can work with, before any game is played.

    Raises:
        RunError: A file holds no episodes.
        UsageError: The settings cannot work, or a file holds episodes of another benchmark.
    """
    check_bounds(arguments)
    if arguments.dry_run or arguments.measure_steps:
        raise UsageError(
            f"{stage} trains on episodes that it plays first. Count with: act-gym train imitation --dry-run"
        )
    played = sorted({parse_id(env_id)[0].name for env_id in arguments.env})
    for path in arguments.episodes if not arguments.new_only else ():
        first = next(read_records(path), None) if path.exists() else None
        found = as_record(Episode, first, f"{path}, line 1,").task.benchmark if first else played[0]
        if found not in played:
            raise UsageError(
                f"{path} holds episodes of {found}, and --env plays {' and '.join(played)}. Give episodes of the same "
                f"benchmark, or --new-only to train on what {stage} plays alone."
            )


def train_in_rounds(
    arguments: RoundSettings, program: str, play_round: Callable[[Run, int, str], None]
) -> dict[str, Any]:
    """Run all rounds that are not finished; return the last training's summary.

    Args:
        arguments: The stage's settings.
        program: The stage's module.
        play_round: Makes the episodes of a round that are not there yet, from the run, the round's number (from 1) and
            the model that plays.
    """
    summary = checkpoints.finished(arguments.out)
    if summary is not None:
        note(f"{arguments.out} is finished already.")
        return summary
    eval_panel.check(arguments, arguments.episodes)
    weights = sorted(checkpoints.find_model(arguments.model).glob("*.safetensors"))
    facts = {"env_option_files": named_files(arguments.options())}
    inputs = [*arguments.episodes, *weights]
    run = Run(arguments.out, program, arguments, inputs=inputs, facts=facts, resume=arguments.resume)
    model, played = arguments.model, [] if arguments.new_only else list(arguments.episodes)
    for number in range(1, arguments.rounds + 1):
        folder = arguments.out / f"round-{number}"
        folder.mkdir(exist_ok=True)
        stage = folder / "train"
        if checkpoints.finished(stage) is None:
            play_round(run, number, model)
        played.append(folder / "episodes.jsonl")
        begin = model if arguments.start == "last" else arguments.model
        summary = imitation.train(_imitation(arguments, begin, tuple(played), stage))
        model = str(stage / "checkpoint")
    assert summary is not None
    shutil.copytree(model, arguments.out / "checkpoint", dirs_exist_ok=True)
    summary |= _keep_best(arguments)
    checkpoints.mark_done(arguments.out, checkpoints.hash_of(arguments.out / "checkpoint"), summary)
    return summary


def _keep_best(arguments: RoundSettings) -> dict[str, Any]:
    """Keep the best checkpoint of all rounds, where they were evaluated by play, and return which it is."""
    found: list[tuple[float, int, int]] = []
    for number in range(1, arguments.rounds + 1):
        best = eval_panel.best_of(eval_panel.read_evals(arguments.out / f"round-{number}" / "train"))
        found += [(best[1], number, best[0])] if best else []
    if not found:
        return {}
    success, number, step = max(found)
    place = arguments.out / f"round-{number}" / "train" / "best"
    shutil.copytree(place, arguments.out / "best", dirs_exist_ok=True)
    return {"best_round": number, "best_step": step, "best_success": round(success, 4)}


def _imitation(
    arguments: RoundSettings, model: str, episodes: tuple[Path, ...], out: Path
) -> imitation.ImitationConfig:
    """Return the settings of a round's training: those of the run, its data, and its folder."""
    known = {field.name for field in fields(imitation.ImitationConfig)}
    values = {name: value for name, value in vars(arguments).items() if name in known}
    own = {"model": model, "episodes": episodes, "out": out, "resume": (out / "config.json").exists(), "limit": 0}
    return imitation.ImitationConfig(**{**values, **own})


def play_missing(
    arguments: RoundSettings, jobs: Sequence[Job], path: Path, agent: Callable[[], Agent], title: str
) -> list[Episode]:
    """Play the games that a file does not hold yet, add them to it, and return all that it holds then.

    Args:
        arguments: The stage's settings.
        jobs: The games.
        path: The file.
        agent: Makes the player; not called if no game is missing.
        title: Names the progress.
    """
    done = {(record["task"]["id"], record["seed"]) for record in read_records(path)} if path.exists() else set()
    left = [job for job in jobs if (job.task.id, job.seed) not in done]
    if left:
        options = {**arguments.options(), "max_episode_steps": arguments.max_turns}
        games = play_jobs(left, agent(), num_envs=min(len(left), arguments.parallel_games), env_options=options)
        with RecordWriter(path) as writer:
            for episode in track(in_order(games, left), title, total=len(done) + len(left), done=len(done)):
                if episode.stop == "env_error":
                    note(f"{episode.task.id} is left out: {episode.error}")
                    continue
                writer.write(without_commands(episode))
    return [Episode.from_json(record) for record in read_records(path)]


def round_jobs(arguments: RoundSettings, number: int, seeds: Iterable[int]) -> Iterator[Job]:
    """Yield a round's games: others in each round until all were played, of all types alike; with each seed."""
    splits = select_from(
        arguments.env,
        task_types=arguments.task_types,
        limit=arguments.limit,
        seed=arguments.seed,
        env_options=arguments.options(),
    )
    games = [(env_id, task) for env_id, tasks in splits.items() for task in tasks]
    order = np.random.default_rng(arguments.seed).permutation(len(games))
    first = (number - 1) * arguments.games
    seeds = tuple(seeds)
    for place in range(first, first + min(arguments.games, len(games))):
        env_id, task = games[order[place % len(games)]]
        yield from (Job(env_id, task, seed) for seed in seeds)


def without_commands(episode: Episode) -> dict[str, Any]:
    """Return an episode as JSON without its lists of commands, which are most of the file and not read here."""
    record = episode.to_json()
    for turn in record["turns"]:
        turn["admissible_commands"] = []
    return record
