"""ScienceWorld benchmark: `gym.make` and the package's own environment in one run.

    pytest benchmarks/speed/bench_scienceworld.py --benchmark-group-by=group \\
        --benchmark-timer=benchmarks.speed.clock.processor_time -k boil

Both play the solution of the first official test variation of seven task types, over and over. Upstream's Java gets
the options that ours has (`_OPTIONS` of `act_gym.engines.scienceworld.jvm`), which make the simulator deterministic
and slow it down by a third or so; its heap is left as it is. The timer counts the processor time of this process and
of its Java processes, the compiling of Java's included. Upstream's `step` always lists all valid commands. All takes
ten minutes or more, and 6 GB (`-k "not upstream"` 1 GB).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import cycle
from typing import Any

import gymnasium as gym
import psutil
import pytest

import act_gym
from act_gym.engines.java import find_java
from act_gym.engines.scienceworld.jvm import _OPTIONS, shared_jvm

# Upstream's environment leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.timeout(3600),
]

TASK_TYPES = (
    "boil",
    "find-plant",
    "power-component",
    "use-thermometer",
    "mendelian-genetics-known-plant",
    "grow-plant",
    "chemistry-mix",
)
TASKS = {
    name: next(task for task in act_gym.tasks("act/ScienceWorld-test") if task.task_type == name) for name in TASK_TYPES
}
MEMORY = "1g"
LONGEST = 30  # commands of a solution
TOGETHER = 16

Make = Callable[..., gym.Env[str, str]]


@pytest.fixture
def make() -> Iterator[Make]:
    with ExitStack() as stack:

        def build(**options: Any) -> gym.Env[str, str]:
            env = gym.make("act/ScienceWorld-test", max_episode_steps=-1, memory=MEMORY, **options)
            return stack.enter_context(closing(env))

        yield build


@pytest.fixture(scope="module")
def make_upstream() -> Iterator[Callable[[], Any]]:
    """Makes the package's own environment, with our Java and its options."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("PATH", str(find_java().path.parent), prepend=os.pathsep)
        patch.setenv("JAVA_TOOL_OPTIONS", " ".join(_OPTIONS))

        def build() -> Any:
            from scienceworld import ScienceWorldEnv

            env = ScienceWorldEnv(envStepLimit=10**9)
            stack.callback(end_upstream, env)
            return env

        yield build


@pytest.fixture(scope="module")
def upstream(make_upstream: Callable[[], Any]) -> Any:
    return make_upstream()


@pytest.fixture(scope="module")
def solutions() -> dict[str, Sequence[str]]:
    """Every task's solution up to where it is won."""
    found = {}
    with closing(gym.make("act/ScienceWorld-test", max_episode_steps=-1, memory=MEMORY)) as env:
        for name, task in TASKS.items():
            env.reset(options={"task_id": task.id})
            commands = env.unwrapped.expert_commands()  # type: ignore[attr-defined]
            won = next(turn for turn, command in enumerate(commands) if env.step(command)[2])
            found[name] = commands[: won + 1]
    return found


def measure(
    benchmark: Any, start: Callable[[], Any], step: Callable[[str], Any], solution: Sequence[str], *, rounds: int
) -> None:
    """Time the first commands of a solution; all of them are one round, because rooms differ in what they cost.

    Args:
        benchmark: pytest-benchmark's.
        start: Begins the episode; is not timed.
        step: Sends a command.
        solution: The commands; the last one, which ends the episode, is never sent.
        rounds: How often; and as often before, so that Java has compiled most of it.
    """
    commands = solution[:-1][:LONGEST]

    def play() -> None:
        for command in commands:
            step(command)

    def prepare() -> None:
        start()  # what it returns is no arguments

    benchmark.extra_info["steps"] = len(commands)
    benchmark.pedantic(play, setup=prepare, rounds=rounds, warmup_rounds=rounds)


def end_upstream(env: Any) -> None:
    """End its Java process, and close what the package leaves to the garbage collector, which warns."""
    env.close()
    process = env._gateway.java_process
    process.wait(timeout=30)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    env._obj_tree_tempdir.cleanup()


def start_upstream(env: Any, task: act_gym.Task) -> None:
    """Begin an episode as the package's documentation does."""
    env.load(task.payload["task"], task.payload["variation"], "")
    env.reset()


@pytest.mark.parametrize("listed", [False, True], ids=["without", "with-commands"])
@pytest.mark.parametrize("name", TASK_TYPES)
def bench_step(benchmark: Any, make: Make, solutions: Any, name: str, listed: bool) -> None:
    benchmark.group = f"ScienceWorld step, {name}"
    env = make()

    def step(command: str) -> None:
        info = env.step(command)[4]
        if listed:
            len(info["admissible_commands"])

    measure(benchmark, lambda: env.reset(options={"task_id": TASKS[name].id}), step, solutions[name], rounds=10)


@pytest.mark.parametrize("name", TASK_TYPES)
def bench_step_upstream(benchmark: Any, upstream: Any, solutions: Any, name: str) -> None:
    benchmark.group = f"ScienceWorld step, {name}"
    measure(benchmark, lambda: start_upstream(upstream, TASKS[name]), upstream.step, solutions[name], rounds=3)


@pytest.mark.parametrize("name", TASK_TYPES)
def bench_reset(benchmark: Any, make: Make, name: str) -> None:
    benchmark.group = f"ScienceWorld reset, {name}"
    env = make()
    benchmark.pedantic(lambda: env.reset(options={"task_id": TASKS[name].id}), rounds=5, iterations=8, warmup_rounds=2)


@pytest.mark.parametrize("name", TASK_TYPES)
def bench_reset_upstream(benchmark: Any, upstream: Any, name: str) -> None:
    benchmark.group = f"ScienceWorld reset, {name}"
    benchmark.pedantic(lambda: start_upstream(upstream, TASKS[name]), rounds=5, iterations=4, warmup_rounds=2)


def bench_together(benchmark: Any, make: Make, solutions: Any) -> None:
    """A step of each of 16 environments with a task each, one Java process for all."""
    benchmark.group = f"ScienceWorld, a step of each of {TOGETHER}"
    players = _players(make, solutions, TOGETHER)
    benchmark.pedantic(lambda: [next(player) for player in players], rounds=40, warmup_rounds=20)
    java = psutil.Process(shared_jvm(MEMORY, "").pid)
    benchmark.extra_info["bytes"] = psutil.Process().memory_full_info().pss + java.memory_full_info().pss


def _players(make: Make, solutions: Any, count: int) -> list[Iterator[None]]:
    """Return environments in the middle of the solutions of the seven tasks in turn; they never end."""

    def play(name: str) -> Iterator[None]:
        env = make(admissible_commands=False)
        while True:
            env.reset(options={"task_id": TASKS[name].id})
            for command in solutions[name][:-1]:
                env.step(command)
                yield

    return [play(name) for name, _ in zip(cycle(TASK_TYPES), range(count), strict=False)]
