"""The same commands show the same bytes, however else the simulator is used."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, closing

import numpy as np
import pytest

from act_gym.engines.scienceworld import JvmEngine
from act_gym.engines.scienceworld import gold as solutions
from act_gym.splits.scienceworld import tasks
from tests.act_gym.engines.scienceworld.walks import Walk, playing, traces

TASKS = {task.id.removeprefix("scienceworld/"): task for task in tasks()}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACT_GYM_DATA", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(solutions, "_kept", {})
        yield


@pytest.fixture(scope="module")
def walks():
    """A solution and five random commands of two tasks that draw random numbers of a generator that all share."""
    made = []
    with closing(JvmEngine()) as engine:
        for task in (TASKS["chemistry-mix/24"], TASKS["find-plant/3"]):
            random = np.random.default_rng(0)
            engine.reset(task)
            commands = []
            for _ in range(5):
                commands.append(str(random.choice(engine.admissible_commands())))
                engine.step(commands[-1])
            made += [Walk(task, engine.expert_commands()), Walk(task, tuple(commands))]
    return made


@pytest.fixture(scope="module")
def expected(walks):
    return traces(walks)


def test_again_in_the_same_java_process(walks, expected):
    assert traces(walks) == expected


def test_in_another_process_last_task_first(walks, expected):
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(traces, walks[::-1]).result() == expected[::-1]


def test_with_commands_asked_for_in_every_state(walks, expected):
    with closing(JvmEngine()) as engine:
        for walk, trace in zip(walks, expected, strict=True):
            assert [(text, tuple(engine.admissible_commands()))[0] for text in playing(engine, walk)] == trace


def test_interleaved_step_by_step_and_every_third_asking(walks, expected):
    with ExitStack() as stack:
        engines = [stack.enter_context(closing(JvmEngine())) for _ in walks]
        players = [playing(engine, walk) for engine, walk in zip(engines, walks, strict=True)]
        found = [[] for _ in walks]
        for _ in range(max(map(len, expected))):
            for index, player in enumerate(players):
                found[index] += [text for text in [next(player, None)] if text is not None]
                if index % 3 == 0:
                    tuple(engines[index].admissible_commands())
    assert found == expected


def test_at_once_in_a_thread_each(walks, expected):
    with ThreadPoolExecutor(len(walks)) as pool:
        assert list(pool.map(lambda walk: traces([walk])[0], walks)) == expected


def test_with_the_solution_computed_again_in_the_middle(walks, expected, monkeypatch, tmp_path):
    monkeypatch.setenv("ACT_GYM_DATA", str(tmp_path))  # no solution is kept there
    monkeypatch.setattr(solutions, "_kept", {})
    solution = walks[2]
    with closing(JvmEngine()) as engine:
        trace = []
        for text in playing(engine, solution):
            trace.append(text)
            if len(trace) == 2 + len(solution.commands) // 2:
                assert engine.expert_commands() == solution.commands
    assert trace == expected[2]
