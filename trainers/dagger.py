"""DAgger: on-policy imitation. The model plays, an expert labels every state it reaches, and the model learns them.

    act-gym train dagger --model runs/imitation/checkpoint --episodes runs/collect/episodes.jsonl --out runs/dagger

A round plays training games with a mixture of expert and model, labels every state with the expert's action, and
trains on all episodes so far, those of --episodes included. Each round has a folder `round-<n>` with its
`episodes.jsonl` and its training; a run that was stopped continues where it was. Source: Ross, Gordon, Bagnell, "A
Reduction of Imitation Learning and Structured Prediction to No-Regret Online Learning" (2011).
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from act_gym.arguments import parse, read_settings
from act_gym.bounds import Bound, Positive, Share, check_bounds
from act_gym.cli import run as run_program
from act_gym.core import Episode
from act_gym.errors import UsageError
from act_gym.progress import track
from act_gym.records import RecordWriter, read_records
from act_gym.rollout import Job, play_jobs
from act_gym.run import Run, named_files
from act_gym.selection import select_from
from agents.catalogue import make_agent
from agents.local import LocalAgent, LocalSettings
from agents.mixture import MixtureAgent
from trainers import imitation
from trainers.collect import check_labels, in_order
from trainers.runs import checkpoints, eval_panel
from trainers.runs.cleanup import discard_unstarted
from trainers.runs.notes import note
from trainers.runs.settings import ModelSettings, OptimisationSettings, OutputSettings, SupervisedSettings
from trainers.supervised.episode_imitation import EpisodeInputs
from trainers.training import show

__all__ = ["Dagger", "main", "train"]


@dataclass(frozen=True, kw_only=True)
class _Playing:
    """Where the model plays, and who labels."""

    env: tuple[str, ...] = ("act/ALFWorld-train",)
    """Environments whose games are played."""

    task_types: tuple[str, ...] = ()
    """Only games of these types; all if there are none."""

    env_options: tuple[str, ...] = ()
    """The environments' own settings as name=value."""

    expert: Literal["search", "expert"] = "search"
    """Who labels: `search` knows what the episode has shown (ALFWorld); `expert` plans with the whole state, so it
    teaches hidden knowledge as well (ALFWorld, WebShop)."""

    rounds: Positive = 1
    """Rounds of playing and training."""

    games: Positive = 200
    """Games played in a round."""

    betas: tuple[Share, ...] = (0.5, 0.25, 0.0)
    """Share of turns that the expert plays, 0-1, in each round; the last one holds for all later rounds."""

    max_turns: Positive = 40
    """Step limit of a game."""

    temperature: Annotated[float, Bound(least=0)] = 0.0
    """Of the model that plays; 0 takes the likeliest token, as an evaluation does."""

    parallel_games: Positive = 32
    """Games that the model plays at once."""

    start: Literal["last", "initial"] = "last"
    """Each round trains the model of the round before (last), or the initial one from the beginning (initial)."""

    new_only: bool = False
    """Train on the episodes of the rounds alone, without those of --episodes."""


@dataclass(frozen=True, kw_only=True)
class Dagger(OutputSettings, OptimisationSettings, SupervisedSettings, ModelSettings, EpisodeInputs, _Playing):
    """Let the model play, label every state with an expert's action, and train on all episodes so far."""

    out: Path = Path("runs/dagger")
    """The run folder."""


def check(arguments: Dagger) -> None:
    """Refuse settings that cannot work, before anything is played.

    Raises:
        UsageError: They cannot; or the expert cannot label the states of an environment.
    """
    check_bounds(arguments)
    if arguments.dry_run or arguments.measure_steps:
        raise UsageError("dagger trains on episodes that it plays first. Count with: act-gym train imitation --dry-run")
    if not arguments.betas:
        raise UsageError(f"--betas are shares of turns, 0 to 1, at least one; got {list(arguments.betas)}.")
    check_labels(arguments.env, arguments.expert, read_settings(arguments.env_options, "--env-options"))


@discard_unstarted
def train(arguments: Dagger) -> dict[str, Any]:
    """Run all rounds that are not finished; return the last training's summary."""
    check(arguments)
    summary = checkpoints.finished(arguments.out)
    if summary is not None:
        note(f"{arguments.out} is finished already.")
        return summary
    eval_panel.check(arguments, arguments.episodes)
    weights = sorted(checkpoints.find_model(arguments.model).glob("*.safetensors"))
    facts = {"env_option_files": named_files(read_settings(arguments.env_options, "--env-options"))}
    inputs = [*arguments.episodes, *weights]
    run = Run(arguments.out, "trainers.dagger", arguments, inputs=inputs, facts=facts, resume=arguments.resume)
    model, played = arguments.model, [] if arguments.new_only else list(arguments.episodes)
    for number in range(1, arguments.rounds + 1):
        folder = arguments.out / f"round-{number}"
        folder.mkdir(exist_ok=True)
        stage = folder / "train"
        if checkpoints.finished(stage) is None:
            _play_round(arguments, run, number, model)
        played.append(folder / "episodes.jsonl")
        begin = model if arguments.start == "last" else arguments.model
        summary = imitation.train(_imitation(arguments, begin, tuple(played), stage))
        model = str(stage / "checkpoint")
    assert summary is not None
    shutil.copytree(model, arguments.out / "checkpoint", dirs_exist_ok=True)
    summary |= _keep_best(arguments)
    checkpoints.mark_done(arguments.out, checkpoints.hash_of(arguments.out / "checkpoint"), summary)
    return summary


def _keep_best(arguments: Dagger) -> dict[str, Any]:
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


def _imitation(arguments: Dagger, model: str, episodes: tuple[Path, ...], out: Path) -> imitation.Imitation:
    """Return the settings of a round's training: those of the run, its data, and its folder."""
    known = {field.name for field in fields(imitation.Imitation)}
    values = {field.name: getattr(arguments, field.name) for field in fields(arguments) if field.name in known}
    own = {"model": model, "episodes": episodes, "out": out, "resume": (out / "config.json").exists(), "limit": 0}
    return imitation.Imitation(**{**values, **own})


def _play_round(arguments: Dagger, run: Run, number: int, model: str) -> None:
    """Play a round's games that are not played yet, and log what came out."""
    path = arguments.out / f"round-{number}" / "episodes.jsonl"
    done = {record["task"]["id"] for record in read_records(path)} if path.exists() else set()
    jobs = [job for job in _jobs(arguments, number) if job.task.id not in done]
    if not jobs:
        return
    beta = arguments.betas[min(number, len(arguments.betas)) - 1]
    settings = LocalSettings(
        model=model, history="conversation", prompts=arguments.prompts, temperature=arguments.temperature
    )
    agent = MixtureAgent(make_agent(arguments.expert), LocalAgent(settings), beta)
    options = {**read_settings(arguments.env_options, "--env-options"), "max_episode_steps": arguments.max_turns}
    games = play_jobs(jobs, agent, num_envs=min(len(jobs), arguments.parallel_games), env_options=options)
    with RecordWriter(path) as writer:
        for episode in track(
            in_order(games, jobs), f"round {number}, games", total=len(done) + len(jobs), done=len(done)
        ):
            if episode.stop == "env_error":
                note(f"{episode.task.id} is left out: {episode.error}")
                continue
            writer.write(_without_commands(episode))
    found = [Episode.from_json(record) for record in read_records(path)]
    turns = [turn for episode in found for turn in episode.turns]
    labels = sum(bool(turn.label) for turn in turns)
    run.log(
        event="round",
        round=number,
        beta=beta,
        games=len(found),
        success=sum(episode.success for episode in found) / max(1, len(found)),
        turns=len(turns),
        unlabelled=len(turns) - labels,
        agreement=sum(turn.label == turn.action for turn in turns if turn.label) / max(1, labels),
    )


def _jobs(arguments: Dagger, number: int) -> Iterator[Job]:
    """Yield a round's games: others in each round until all were played, of all types alike."""
    splits = select_from(
        arguments.env,
        task_types=arguments.task_types,
        limit=arguments.limit,
        seed=arguments.seed,
        env_options=read_settings(arguments.env_options, "--env-options"),
    )
    games = [(env_id, task) for env_id, tasks in splits.items() for task in tasks]
    order = np.random.default_rng(arguments.seed).permutation(len(games))
    first = (number - 1) * arguments.games
    for place in range(first, first + min(arguments.games, len(games))):
        env_id, task = games[order[place % len(games)]]
        yield Job(env_id, task, arguments.seed + number)


def _without_commands(episode: Episode) -> dict[str, Any]:
    """Return an episode as JSON without its lists of commands, which are most of the file and not read here."""
    record = episode.to_json()
    for turn in record["turns"]:
        turn["admissible_commands"] = []
    return record


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    arguments = parse(Dagger, argv, program="act-gym train dagger")
    show(train(arguments), arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_program(main, sys.argv[1:]))
