"""WebShop benchmark: ours and the original's text path in one run; start, reset, steps, search.

    python -m pytest benchmarks/speed/bench_webshop.py --benchmark-group-by=group --benchmark-timer=time.process_time

The original is `SimServer` and `WebAgentTextEnv` with Flask's templates and BeautifulSoup. Its folder and that of the
catalogue's files are named by WEBSHOP_ORIGINAL and WEBSHOP_ITEMS; without them only ours is measured. It finds
products with our search and knows our nouns, so neither Java nor spaCy counts against it. Both play the same visits:
for each of twenty goals the expert's way, with the pages that tell more and the next page of the results before it.
Nothing here asserts a time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import act_gym
from act_gym.engines.webshop.shop_cache import open_for
from act_gym.errors import EngineError

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(900)]

VISITS = 20
GOALS = len(act_gym.tasks("act/WebShop"))

Visit = tuple[int, tuple[str, ...]]
"""A goal and the actions of one visit."""


@pytest.fixture(scope="module")
def env(webshop_data: Path) -> Iterator[Any]:  # noqa: ARG001  (skips without it)
    made = gym.make("act/WebShop", max_episode_steps=-1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def visits(env: Any) -> Sequence[Visit]:
    """Visits of about ten actions that end with a purchase."""
    found: list[Visit] = []
    for index in range(0, GOALS, 97):
        env.reset(options={"task_index": index})
        try:
            search, item, *rest = env.unwrapped.expert_commands()
        except EngineError:
            continue
        look = ("click[next >]", "click[< prev]", item, "click[description]", "click[< prev]", "click[features]")
        found.append((index, (search, *look, "click[< prev]", *rest)))
        if len(found) == VISITS:
            break
    return found


@pytest.fixture(scope="module")
def original(webshop_data: Path) -> Any:  # noqa: ARG001  (skips without it)
    folder, items = os.environ.get("WEBSHOP_ORIGINAL"), os.environ.get("WEBSHOP_ITEMS")
    if not folder or not items:
        pytest.skip("WEBSHOP_ORIGINAL and WEBSHOP_ITEMS name no original WebShop.")
    from benchmarks.parity.webshop.original import load_original

    shop = open_for("1000", human=False)
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        return load_original(
            Path(folder), Path(items), shop.products, shop.search, shop.goals, human=False, show_attributes=False
        )


def play_ours(env: Any, visits: Sequence[Visit]) -> int:
    steps = 0
    for index, actions in visits:
        env.reset(options={"task_index": index})
        for action in actions:
            env.step(action)
            steps += 1
    return steps


def play_original(original: Any, visits: Sequence[Visit]) -> int:
    steps = 0
    for index, actions in visits:
        original.server.user_sessions.clear()
        original.reset(session=index)
        for action in actions:
            original.step(action)
            original.get_available_actions()  # as every agent does that reads them, and our `info` holds them
            steps += 1
    return steps


@pytest.mark.benchmark(group="twenty visits, with all available actions")
def bench_visits(benchmark: Callable[..., Any], env: Any, visits: Sequence[Visit]) -> None:
    assert benchmark(play_ours, env, visits) == sum(len(actions) for _, actions in visits)


@pytest.mark.benchmark(group="twenty visits, with all available actions", max_time=60, min_rounds=3)
def bench_visits_of_the_original(benchmark: Callable[..., Any], original: Any, visits: Sequence[Visit]) -> None:
    assert benchmark(play_original, original, visits) == sum(len(actions) for _, actions in visits)


@pytest.mark.benchmark(group="reset, another goal each time")
def bench_reset(benchmark: Callable[..., Any], env: Any) -> None:
    goals = iter(range(10**9))
    benchmark(lambda: env.reset(options={"task_index": next(goals) * 7 % GOALS}))


@pytest.mark.benchmark(group="reset, another goal each time")
def bench_reset_of_the_original(benchmark: Callable[..., Any], original: Any) -> None:
    goals = iter(range(10**9))
    benchmark(lambda: original.reset(session=next(goals) * 7 % GOALS))


@pytest.mark.benchmark(group="search and its first page, another query each time")
def bench_search(benchmark: Callable[..., Any], env: Any) -> None:
    queries = [env.reset(options={"task_index": index})[1]["goal"] for index in range(0, GOALS, 10)]
    asked = iter(range(10**9))
    env.reset(options={"task_index": 0})
    benchmark(lambda: env.step(f"search[{queries[next(asked) % len(queries)]}]"))


@pytest.mark.benchmark(group="a further environment")
def bench_another_environment(benchmark: Callable[..., Any], env: Any) -> None:
    assert env.unwrapped.tasks  # the first one is there

    def make() -> None:
        gym.make("act/WebShop").reset(options={"task_index": 0})

    benchmark(make)


def bench_start(benchmark: Any, webshop_data: Path) -> None:  # noqa: ARG001  (skips without it)
    """`extra_info`: the processor time from `gym.make` to the first page in a fresh process, after `import act_gym`."""
    code = (
        "import time, gymnasium, act_gym; start = time.process_time(); "
        "gymnasium.make('act/WebShop').reset(options={'task_index': 0}); print(time.process_time() - start)"
    )

    seconds: list[float] = []

    def start() -> None:
        seconds.append(float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout))

    benchmark.pedantic(start, rounds=5)
    benchmark.extra_info["seconds"] = sorted(seconds)
