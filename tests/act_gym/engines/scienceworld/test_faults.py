"""ScienceWorld's Java process is killed, stopped, filled up: episodes go on, or end with the cause."""

import os
import signal
import threading
from pathlib import Path

import pytest

import act_gym
from act_gym import rollout
from act_gym.agent import AgentAction
from act_gym.engines.scienceworld import JvmEngine, gold, recovery
from act_gym.engines.scienceworld.jvm import shared_jvm
from act_gym.errors import EngineError, UsageError
from tests.act_gym.engines.scienceworld.under_fire import leftovers, open_files, under_fire
from tests.act_gym.engines.scienceworld.walks import Walk, traces

TASKS = {task.id.removeprefix("scienceworld/"): task for task in act_gym.tasks("act/ScienceWorld")}

# Bees and heredity draw from the generator that all tasks of a process share.
SENSITIVE = TASKS["chemistry-mix/24"]

WALK = ("open door to kitchen", "go to kitchen", "open door", "0", "dance", "look around", "open cupboard", "inventory")


@pytest.fixture
def make():
    made = []

    def build(memory="850m", **options):
        made.append(JvmEngine(memory=memory, **options))
        return made[-1]

    yield build
    for engine in made:
        engine.close()


def java_of(engine):
    return engine._world.jvm


def kill(engine, how=signal.SIGKILL):
    pid = shared_jvm(engine._memory, "").pid
    os.kill(pid, how)
    return pid


def play(engine, task, commands=WALK):
    return [engine.reset(task), *(engine.step(command) for command in commands)]


def test_an_episode_goes_on_when_its_process_is_killed(make):
    engine = make()
    undisturbed = play(engine, TASKS["boil/0"])
    seen = [engine.reset(TASKS["boil/0"])]
    for number, command in enumerate(WALK):
        if number % 3 == 1:
            killed = kill(engine)
            assert java_of(engine).pid == killed
        seen.append(engine.step(command))
        if number % 3 == 1:
            assert java_of(engine).pid != killed
            assert not Path(f"/proc/{killed}").exists()  # waited for, so no zombie
    assert seen == undisturbed


def test_siblings_go_on_when_they_move_next(make):
    engines = [make() for _ in range(3)]
    undisturbed = [play(engine, SENSITIVE) for engine in engines]
    for engine in engines:
        engine.reset(SENSITIVE)
    seen = [[engine.step(command) for command in WALK[:4]] for engine in engines]
    kill(engines[0])
    for states, engine in zip(seen[::-1], engines[::-1], strict=True):
        states += [engine.step(command) for command in WALK[4:]]
    assert seen == [states[1:] for states in undisturbed]
    assert len({java_of(engine) for engine in engines}) == 1


def test_a_task_can_be_loaded_listed_and_solved_after_a_kill(make, monkeypatch, tmp_path):
    monkeypatch.setenv("ACT_GYM_DATA", str(tmp_path))
    monkeypatch.setattr(gold, "_kept", {})
    engine = make()
    first = engine.reset(TASKS["find-plant/3"])
    solution = engine.expert_commands()
    admissible = tuple(engine.admissible_commands())
    kill(engine)
    assert tuple(engine.admissible_commands()) == admissible
    for file in tmp_path.rglob("3.json"):
        file.unlink()
    monkeypatch.setattr(gold, "_kept", {})
    kill(engine)
    assert engine.expert_commands() == solution
    kill(engine)
    assert engine.reset(TASKS["find-plant/3"]) == first


def test_a_process_that_gives_no_answer_is_replaced(make):
    engine, other = make(), make(call_timeout=3)
    undisturbed = play(engine, TASKS["boil/0"])
    engine.reset(TASKS["boil/0"])
    other.reset(TASKS["boil/0"])
    stopped = kill(other, signal.SIGSTOP)
    assert engine._world._seconds == 30
    assert [other.step(command) for command in WALK] == undisturbed[1:]
    assert not Path(f"/proc/{stopped}").exists()
    assert [engine.step(command) for command in WALK] == undisturbed[1:]


def test_whoever_waits_for_a_stopped_process_gets_the_next_one(make):
    engines = [make(call_timeout=3) for _ in range(4)]
    undisturbed = play(engines[0], TASKS["boil/0"])
    for engine in engines:
        engine.reset(TASKS["boil/0"])
    seen = {}
    kill(engines[0], signal.SIGSTOP)

    def walk(number):
        seen[number] = [engines[number].step(command) for command in WALK]

    walkers = [threading.Thread(target=walk, args=(number,)) for number in range(4)]
    for walker in walkers:
        walker.start()
    for walker in walkers:
        walker.join(240)
    assert seen == dict.fromkeys(range(4), undisturbed[1:])


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "30", None, True])
def test_the_time_for_a_call_is_checked_at_once(seconds):
    with pytest.raises(UsageError, match="call_timeout is a number of seconds"):
        JvmEngine(call_timeout=seconds)


@pytest.fixture
def exhaustions(monkeypatch):
    """Counted anew, as in a process of one's own."""
    monkeypatch.setattr(recovery, "_exhaustions", recovery.Counter())
    return recovery._exhaustions


def test_too_little_memory_for_a_task_is_an_error_that_names_the_option(make, exhaustions):
    engine = make(memory="16m")
    for times in (3, 4):
        with pytest.raises(EngineError, match=r"ran out of memory in .*, e\.g\. memory='32m'\. This was time \d"):
            engine.reset(TASKS["boil/0"])
        assert exhaustions == {("16m", ""): times}  # after three in all, the next counts at once
    with pytest.raises(EngineError, match="Reset the environment first"):
        engine.step("look around")


def test_tasks_that_do_not_fit_together_are_no_endless_loop(make, exhaustions):
    """Each may be played on by itself a few times; then whoever fills the memory is given up, and the others go on."""
    engines, failed, causes = [make(memory="40m") for _ in range(3)], [], []  # two fit
    exhaustions["40m", ""] = 2  # it has happened before
    for _ in range(3):
        for engine in engines:
            if engine in failed:
                continue
            try:
                engine.step("look around") if engine._task else engine.reset(TASKS["boil/0"])
            except EngineError as error:
                failed.append(engine)
                causes.append(str(error))
                engine.close()
    alive = [engine for engine in engines if engine not in failed]
    assert failed
    assert alive
    assert all("memory='80m'" in cause for cause in causes)
    assert all(engine.step("look around").observation for engine in alive)
    assert exhaustions["40m", ""] <= 3 + len(engines)


def test_a_solution_that_takes_all_the_memory_is_given_up(exhaustions, monkeypatch, tmp_path):
    monkeypatch.setenv("ACT_GYM_DATA", str(tmp_path))
    pool = ("16m", "")

    def solve():
        return gold.gold_path(shared_jvm(*pool), "boil", 0, version="1.2.3", simplifications="")

    with pytest.raises(EngineError, match=r"ran out of memory in solving boil/0.*memory='32m'.* time 3 with"):
        recovery.with_retries(pool, solve)
    assert not list(tmp_path.rglob("*.json"))


def test_what_the_simulator_throws_is_no_end_of_its_process(make):
    engine = make()
    engine.reset(TASKS["boil/0"])
    jvm = java_of(engine)
    with pytest.raises(EngineError, match="cannot load fly/0"):
        engine.reset(
            act_gym.Task(
                id="x", benchmark="ScienceWorld", split="x", task_type="fly", payload={"task": "fly", "variation": 0}
            )
        )
    engine.reset(TASKS["boil/0"])
    assert java_of(engine) is jvm


def test_an_episode_that_does_not_repeat_itself_is_an_error(make):
    engine = make()
    play(engine, TASKS["boil/0"])
    moves = engine._world._moves
    moves[2] = (moves[2][0], b"something")  # as if it had shown something else
    kill(engine)
    with pytest.raises(EngineError, match=r"boil/0 was played again and command 3 of 9, 'go to kitchen', did not show"):
        engine.step("look around")
    with pytest.raises(EngineError, match="Reset the environment first"):
        engine.step("look around")
    assert engine.reset(TASKS["boil/0"]).observation


class Assassin:
    """Kills every Java process of a pool as soon as it is there, while it is told to."""

    def __init__(self, memory):
        self._mark = f"-Xmx{memory}".encode()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.first = threading.Event()
        self.kills = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _work(self):
        while not self._over.wait(0.01):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    if self._mark in path.read_bytes():
                        os.kill(int(path.parent.name), signal.SIGKILL)
                        self.kills += 1
                        self.first.set()
                except OSError:
                    continue


def test_a_rollout_records_the_cause_and_plays_the_other_tasks(make):
    """Killed in one episode for ever, it ends with env_error; the next one is played."""
    memory, killer = "851m", []

    class Agent:
        name = "walker"

        def act(self, views):
            if views[0].task.task_type == "boil" and len(views[0].history) == 2 and not killer:
                killer.append(Assassin(memory).__enter__())
                killer[0].first.wait(60)  # two steps take less time than one look at /proc
            return [AgentAction(action="look around") for _ in views]

    episodes = rollout.play(
        "act/ScienceWorld",
        Agent(),
        tasks=[TASKS["boil/0"], TASKS["find-plant/0"]],
        num_envs=1,
        env_options={"max_episode_steps": 4, "memory": memory, "admissible_commands": False},
    )
    ended = next(episodes)
    killer[0].__exit__()
    assert killer[0].kills >= 3
    assert (ended.stop, len(ended.turns)) == ("env_error", 2)
    assert "ScienceWorld's Java" in ended.error
    assert "It was tried 3 times." in ended.error
    following = next(episodes)
    assert (following.stop, len(following.turns), following.error) == ("truncated", 4, "")
    episodes.close()
    shared_jvm(memory, "").close()


def test_a_world_costs_no_more_than_commands_and_digests(make):
    engine = make()
    engine.reset(TASKS["boil/0"])
    for _ in range(20):
        engine.step("look around")
    assert [(type(command), len(digest)) for command, digest in engine._world._moves] == [(str, 8)] * 21


@pytest.mark.timeout(900)  # every kill costs a start, which takes seconds where others work too
def test_kills_at_random_moments_change_nothing():
    walks = [Walk(SENSITIVE, WALK), Walk(TASKS["boil/0"], WALK)]
    expected, before = traces(walks), open_files()
    report = under_fire(walks, expected, kills=4, stopped=0.05)
    assert report.hanging == 0
    assert report.kills >= 3  # one that was about to end anyway is not counted
    assert report.hit
    assert set(report.ended) <= {"equal", "env_error"}
    assert all("ScienceWorld's Java" in cause for cause in report.causes)
    assert leftovers(report, before) == []
