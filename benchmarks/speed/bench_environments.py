"""What a reset and a step of ScienceWorld cost through `gym.make`, and what upstream's own environment takes for them.

    python -m pytest benchmarks/speed/bench_environments.py --benchmark-group-by=group

Machines differ and are shared: read ratios inside a group. Nothing here asserts a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gymnasium as gym
import pytest

import act_gym
from act_gym.engines.java import find_java

# Upstream's environment leaves its Java process to the garbage collector.
pytestmark = pytest.mark.filterwarnings("default::ResourceWarning", "default::pytest.PytestUnraisableExceptionWarning")

# From cheap to dear: the number of admissible commands is what upstream's step is made of.
SCIENCEWORLD = ("find-plant", "power-component", "chemistry-mix")


def first_task(env_id: str, task_type: str) -> act_gym.Task:
    return next(task for task in act_gym.tasks(env_id) if task.task_type == task_type)


@pytest.fixture
def make() -> Iterator[Callable[..., gym.Env[str, str]]]:
    made: list[gym.Env[str, str]] = []

    def build(env_id: str, **options: Any) -> gym.Env[str, str]:
        made.append(gym.make(env_id, max_episode_steps=10**9, disable_env_checker=True, **options))
        return made[-1]

    yield build
    for env in made:
        env.close()


def replay(start: Callable[[], Any], step: Callable[[str], bool], solution: Sequence[str]) -> Callable[[], None]:
    """Return a function that plays a solution command by command, over and over.

    Args:
        start: Begins the episode; called again, within a timed call, when it has ended.
        step: Sends a command and returns whether the episode ended.
        solution: The commands.
    """
    waiting: Iterator[str] = iter(())

    def play() -> None:
        nonlocal waiting
        command = next(waiting, None)
        if command is None:
            start()
            waiting = iter(solution)
        elif step(command):
            waiting = iter(())

    return play


def replay_in(env: gym.Env[str, str], task: act_gym.Task) -> Callable[[], None]:
    """Return a function that replays a task's solution in one of our environments."""

    def start() -> None:
        env.reset(options={"task_id": task.id})

    start()
    solution = env.unwrapped.expert_commands()  # type: ignore[attr-defined]
    return replay(start, lambda command: bool(env.step(command)[2]), solution)


@pytest.mark.parametrize("task_type", SCIENCEWORLD)
@pytest.mark.parametrize("listed", [True, False], ids=["with-commands", "without"])
def bench_scienceworld_step(benchmark: Any, make: Any, task_type: str, listed: bool) -> None:
    benchmark.group = f"ScienceWorld step, {task_type}"
    task = first_task("act/ScienceWorld-test", task_type)
    played = replay_in(make("act/ScienceWorld-test", admissible_commands=listed), task)
    benchmark.pedantic(played, rounds=120, warmup_rounds=20)


@pytest.mark.parametrize("task_type", SCIENCEWORLD)
def bench_scienceworld_step_upstream(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, make: Any, task_type: str
) -> None:
    from scienceworld import ScienceWorldEnv

    benchmark.group = f"ScienceWorld step, {task_type}"
    task = first_task("act/ScienceWorld-test", task_type)
    ours = make("act/ScienceWorld-test")
    ours.reset(options={"task_id": task.id})
    solution = ours.unwrapped.expert_commands()
    monkeypatch.setenv("PATH", str(find_java().path.parent), prepend=":")  # upstream starts `java` from the path
    theirs = ScienceWorldEnv(envStepLimit=10**9)

    def start() -> None:
        theirs.load(task_type, task.payload["variation"], "")
        theirs.reset()

    try:
        benchmark.pedantic(replay(start, lambda command: theirs.step(command)[2], solution), rounds=60, warmup_rounds=5)
    finally:
        theirs.close()


@pytest.mark.parametrize("task_type", SCIENCEWORLD)
def bench_scienceworld_reset(benchmark: Any, make: Any, task_type: str) -> None:
    benchmark.group = "ScienceWorld reset"
    task = first_task("act/ScienceWorld-test", task_type)
    env = make("act/ScienceWorld-test")
    benchmark.pedantic(lambda: env.reset(options={"task_id": task.id}), rounds=10, warmup_rounds=1)
