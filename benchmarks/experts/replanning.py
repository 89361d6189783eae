"""Upstream's general planner, Fast Downward inside its simulator, asked for a plan after random commands.

It takes the cheapest way first, so its plans are the shortest where all commands cost the same. Some states take it
minutes: each one is put to it in a process of its own, which is ended when patience runs out.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import Any

from act_gym.engines.alfworld.files import GAME_FILE
from act_gym.engines.alfworld.game import Game
from act_gym.errors import EngineError
from act_gym.types import Task
from benchmarks.experts.attempts import NOT_FOUND, WON, Attempt, random_commands

__all__ = ["replanning_attempt"]

_STARTING = 120.0
"""Seconds that a process may take to load the packages and the game and to play the random commands."""


def replanning_attempt(
    game: Game, task: Task, folder: Path, steps: int, seed: int, patience: float
) -> Iterator[Attempt]:
    """Ask for a plan after random commands, and play it; nothing comes back where luck has won.

    Args:
        game: The game, to draw the commands and to play the plan.
        task: Its task.
        folder: The folder of the games.
        steps: How many random commands.
        seed: Seed of the draw.
        patience: Seconds after which the planner is ended.

    Raises:
        EngineError: Upstream's packages did not get as far as planning.
    """
    drawn, here = random_commands(game, task, steps, seed)
    if here.won:
        return
    context = multiprocessing.get_context("spawn")
    answers: Queue[tuple[str, ...]] = context.Queue()
    path = str(folder / task.payload["game"] / GAME_FILE)
    process = context.Process(target=_replan, args=(path, drawn, answers), daemon=True)
    process.start()
    commands: tuple[str, ...] = ()
    try:
        answers.get(timeout=_STARTING)
        began = time.perf_counter()
        with suppress(Empty):
            commands = answers.get(timeout=patience)
        seconds = time.perf_counter() - began
    except Empty as cause:
        raise EngineError(f"Upstream's packages did not load {task.id} in {_STARTING:.0f} seconds.") from cause
    finally:
        process.kill()
        process.join()
    for command in commands:
        here = game.after(here, game.bindings(here)[command])
    outcome = WON if here.won else NOT_FOUND
    group = f"upstream's planner, after {steps} random commands"
    yield Attempt(group, task.id, outcome, len(commands), len(game.walkthrough), seconds)


def _replan(path: str, before: list[str], answers: Queue[tuple[str, ...]]) -> None:
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
    from textworld import EnvInfos
    from textworld.envs.pddl import PddlEnv

    env: Any = AlfredDemangler(PddlEnv(EnvInfos()), shuffle=False)
    env.load(path)
    env.reset()
    for command in before:
        env.step(command)
    inner = env.unwrapped
    answers.put(())
    answers.put(tuple(str(command) for command in inner._pddl_state.replan(inner._entity_infos)))
