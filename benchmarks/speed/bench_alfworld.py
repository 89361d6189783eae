"""ALFWorld benchmark: the native engine and upstream's packages in one run.

    pytest benchmarks/speed/bench_alfworld.py --benchmark-group-by=group --benchmark-timer=time.process_time

Processor time, because a call of microseconds is seldom interrupted and a call of seconds always is: by the clock on
the wall upstream looks slower than it is. Both play the same twelve games: of each type the first one seen and the
first one unseen. Upstream is used as its own `AlfredTWEnv` builds it. Some minutes; `-k "not upstream"` takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

import gymnasium as gym
import pytest

import act_gym
from act_gym.engines.alfworld.files import GAME_FILE
from act_gym.engines.alfworld.native import NativeEngine
from act_gym.engines.alfworld.store import GAMES_KEPT, STORE_FILE, GameStore, build_store
from act_gym.splits.alfworld import FOLDERS, TASK_TYPES

pytestmark = [
    # Upstream leaves game files and pipes to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.timeout(1800),
]

BATCH = 64
EVERYTHING = act_gym.tasks("act/ALFWorld")
SAMPLE = [
    next(task for task in act_gym.tasks(env_id) if task.task_type == kind)
    for kind in TASK_TYPES
    for env_id in ("act/ALFWorld-seen", "act/ALFWorld-unseen")
]


@pytest.fixture(scope="module")
def games(alfworld_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all games and a store that this version built."""
    folder = tmp_path_factory.mktemp("games")
    for name in FOLDERS.values():
        (folder / name).symlink_to(alfworld_data / name)
    build_store(folder, (task.payload["game"] for task in EVERYTHING))
    return folder


@pytest.fixture
def native(games: Path) -> NativeEngine:
    """Our engine, with every kind of game compiled, as after a few games, and none of the sample in memory."""
    engine = NativeEngine(data=str(games))
    for task in SAMPLE:
        engine.reset(task)
    crowd_out(engine)
    return engine


@pytest.fixture
def make(games: Path) -> Iterator[Callable[..., gym.Env[str, str]]]:
    made: list[gym.Env[str, str]] = []

    def build(**options: Any) -> gym.Env[str, str]:
        made.append(gym.make("act/ALFWorld", max_episode_steps=10**9, data=str(games), **options))
        return made[-1]

    yield build
    for env in made:
        env.close()


def crowd_out(engine: NativeEngine) -> None:
    """Play so many other games that those of the sample are no longer in memory."""
    for task in EVERYTHING[:GAMES_KEPT]:
        engine.reset(task)


def upstream() -> Any:
    """Return upstream's environment for one game, as `AlfredTWEnv` puts it together."""
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
    from textworld import EnvInfos
    from textworld.envs.pddl import PddlEnv

    return AlfredDemangler(PddlEnv(EnvInfos(feedback=True, won=True, admissible_commands=True)), shuffle=False)


def start_upstream(env: Any, games: Path, task: act_gym.Task) -> Any:
    env.load(str(games / task.payload["game"] / GAME_FILE))
    return env.reset()


def replay(start: Callable[[act_gym.Task], list[str]], step: Callable[[str], Any]) -> Callable[[], None]:
    """Return a function that plays the sample's solutions command by command, over and over.

    Args:
        start: Begins a game and returns its solution; called, within a timed call, when one is through.
        step: Sends a command and has the next commands listed.
    """
    tasks = cycle(SAMPLE)
    waiting: Iterator[str] = iter(())

    def play() -> None:
        nonlocal waiting
        command = next(waiting, None)
        if command is None:
            waiting = iter(start(next(tasks)))
        else:
            step(command)

    return play


def bench_step(benchmark: Any, native: NativeEngine) -> None:
    benchmark.group = "ALFWorld step with commands"

    def start(task: act_gym.Task) -> list[str]:
        native.reset(task)
        return list(native.expert_commands())

    def step(command: str) -> None:
        native.step(command)
        native.admissible_commands()

    benchmark.pedantic(replay(start, step), rounds=5000, warmup_rounds=100)


@pytest.mark.parametrize("listed", [True, False], ids=["with-commands", "without"])
def bench_step_through_gymnasium(benchmark: Any, make: Any, listed: bool) -> None:
    benchmark.group = "ALFWorld step with commands"
    env = make(admissible_commands=listed)

    def start(task: act_gym.Task) -> list[str]:
        env.reset(options={"task_id": task.id})
        return list(env.unwrapped.expert_commands())

    benchmark.pedantic(replay(start, env.step), rounds=5000, warmup_rounds=100)


def bench_step_upstream(benchmark: Any, games: Path) -> None:
    benchmark.group = "ALFWorld step with commands"
    env = upstream()
    solutions = solutions_of(games)

    def start(task: act_gym.Task) -> list[str]:
        start_upstream(env, games, task)
        return solutions[task.id]

    benchmark.pedantic(replay(start, lambda command: env.step(command)[0]["admissible_commands"]), rounds=80)


def solutions_of(games: Path) -> dict[str, list[str]]:
    engine = NativeEngine(data=str(games))
    found = {}
    for task in SAMPLE:
        engine.reset(task)
        found[task.id] = list(engine.expert_commands())
    return found


def bench_reset_another_game(benchmark: Any, native: NativeEngine) -> None:
    benchmark.group = "ALFWorld reset, another game each time"
    tasks = cycle(SAMPLE)

    def setup() -> tuple[tuple[act_gym.Task], dict[str, Any]]:
        crowd_out(native)
        return (next(tasks),), {}

    benchmark.pedantic(lambda task: (native.reset(task), native.admissible_commands()), setup=setup, rounds=36)


def bench_reset_another_game_through_gymnasium(benchmark: Any, native: NativeEngine, make: Any) -> None:
    benchmark.group = "ALFWorld reset, another game each time"
    tasks = cycle(SAMPLE)
    env = make()

    def setup() -> tuple[tuple[act_gym.Task], dict[str, Any]]:
        crowd_out(native)
        return (next(tasks),), {}

    benchmark.pedantic(lambda task: env.reset(options={"task_id": task.id}), setup=setup, rounds=36)


def bench_reset_another_game_upstream(benchmark: Any, games: Path) -> None:
    benchmark.group = "ALFWorld reset, another game each time"
    env, tasks = upstream(), cycle(SAMPLE)
    benchmark.pedantic(lambda: start_upstream(env, games, next(tasks)), rounds=len(SAMPLE))


def bench_reset_same_game(benchmark: Any, native: NativeEngine) -> None:
    benchmark.group = "ALFWorld reset, same game"
    benchmark.pedantic(lambda: (native.reset(SAMPLE[0]), native.admissible_commands()), rounds=2000, warmup_rounds=10)


def bench_reset_same_game_upstream(benchmark: Any, games: Path) -> None:
    benchmark.group = "ALFWorld reset, same game"
    env = upstream()
    start_upstream(env, games, SAMPLE[0])
    benchmark.pedantic(env.reset, rounds=5)


def play_at_random(step: Callable[[tuple[str, ...]], Any], first: Any) -> Callable[[], None]:
    """Return a function that sends one random admissible command to every game of a batch."""
    random, listed = Random(0), first

    def play() -> None:
        nonlocal listed
        listed = step(tuple(random.choice(commands) if commands else "look" for commands in listed))

    return play


def bench_batch(benchmark: Any, games: Path) -> None:
    benchmark.group = f"ALFWorld batch of {BATCH}, one step of each"
    envs = gym.make_vec("act/ALFWorld-unseen", num_envs=BATCH, vectorization_mode="sync", data=str(games))
    first = envs.reset(seed=0)[1]["admissible_commands"]
    play = play_at_random(lambda actions: envs.step(actions)[4]["admissible_commands"], first)
    benchmark.pedantic(play, rounds=300, warmup_rounds=10)
    envs.close()


def bench_snapshot_and_restore(benchmark: Any, make: Any) -> None:
    benchmark.group = "ALFWorld back to a moment"
    env = make()
    env.reset(options={"task_id": SAMPLE[0].id})
    benchmark(lambda: env.unwrapped.restore(env.unwrapped.snapshot()))


def bench_store_opening(benchmark: Any, games: Path) -> None:
    benchmark.group = "ALFWorld store"
    benchmark.pedantic(lambda: GameStore.find(games), rounds=200)


def bench_store_building(benchmark: Any, games: Path) -> None:
    benchmark.group = "ALFWorld store"
    benchmark.pedantic(build_store, (games, [task.payload["game"] for task in EVERYTHING]), rounds=1)
    benchmark.extra_info["bytes"] = (games / STORE_FILE).stat().st_size
