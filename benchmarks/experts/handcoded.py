"""Upstream's hand-coded expert, played as upstream plays it: `AlfredExpert` around its simulator.

It sees what an agent sees and searches for what it needs, so it needs more commands than a planner. It knows
nothing of the earlier actions; from there on it is given every observation.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from act_gym.engines.alfworld.files import GAME_FILE
from act_gym.engines.alfworld.game import Game
from act_gym.errors import MissingDependencyError
from act_gym.types import Task
from benchmarks.experts.attempts import NOT_FOUND, WON, Attempt, random_commands

__all__ = ["handcoded_attempts"]

MAX_TURNS = 150


def handcoded_attempts(game: Game, task: Task, folder: Path, steps: int, seed: int) -> Iterator[Attempt]:
    """Let the expert try from a game's start, and again after random commands.

    Args:
        game: The game, to draw the commands.
        task: Its task.
        folder: The folder of the games.
        steps: How many random commands.
        seed: Seed of the draw; the expert also draws where it knows no action.

    Raises:
        MissingDependencyError: Upstream's packages are not installed.
    """
    path = str(folder / task.payload["game"] / GAME_FILE)
    yield _attempt(path, [], game, task, "hand-coded, from the start", seed)
    drawn, here = random_commands(game, task, steps, seed)
    if not here.won:
        yield _attempt(path, drawn, game, task, f"hand-coded, after {steps} random commands", seed)


def _attempt(path: str, before: list[str], game: Game, task: Task, group: str, seed: int) -> Attempt:
    env = _env()
    argv = sys.argv
    random.seed(seed)  # the expert's own choices come from the global generator
    began, turns, state = time.process_time(), 0, None
    try:
        env.load(path)
        state = env.reset()
        for command in before:
            state, _, _ = env.step(command)
        while not state["won"] and turns < MAX_TURNS:
            state, _, _ = env.step(state["extra.expert_plan"][0])
            turns += 1
    except Exception as error:
        if str(error) != "Timeout":  # how the expert gives up
            raise
    finally:
        sys.argv = argv
    outcome = WON if state is not None and state["won"] else NOT_FOUND
    return Attempt(group, task.id, outcome, turns, len(game.walkthrough), time.process_time() - began)


@cache
def _env() -> Any:
    try:
        from alfworld.agents.environment.alfred_tw_env import AlfredDemangler, AlfredExpert
        from textworld import EnvInfos
        from textworld.envs.pddl import PddlEnv
    except ImportError as cause:
        raise MissingDependencyError("The alfworld package", "alfworld") from cause
    infos = EnvInfos(feedback=True, won=True, admissible_commands=True, facts=True)
    return AlfredExpert(AlfredDemangler(PddlEnv(infos), shuffle=False), expert_type="handcoded")
