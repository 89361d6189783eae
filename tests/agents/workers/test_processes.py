import os
import signal
from functools import partial
from pathlib import Path

import pytest

from act_gym import AgentAction, AgentError, AgentInput, MissingDependencyError, UsageError, tasks
from act_gym.rollout import Job
from act_gym.sampling import select
from agents.registry import make_agent
from agents.workers.processes import Guarded, play_jobs_parallel, play_parallel

ENV = "act/ScienceWorld-seen"

TROUBLE = """
import os, signal
from pathlib import Path
from act_gym import function_agent

def make(folder, deadly, cursed, clumsy):
    def choose(view):
        mark = Path(folder) / f"{view.task.payload['variation']}"
        if view.task.id == deadly or (view.task.id == cursed and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if view.task.id == clumsy:
            raise ZeroDivisionError("one too many")
        return "look around"
    return function_agent("trouble", choose)
"""


class Stubborn:
    name = "stubborn"

    def __init__(self, answer) -> None:
        self.answer = answer

    def act(self, views):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


VIEW = AgentInput(task=select(tasks(ENV), limit=1)[0], goal="", observation="")


@pytest.mark.parametrize(
    "answer", [ValueError("no"), [], ["look"], [AgentAction(action="a"), AgentAction(action="b")], None]
)
def test_whatever_an_agent_does_wrong_is_an_agent_error(answer):
    with pytest.raises(AgentError):
        Guarded(Stubborn(answer)).act([VIEW])


def test_a_missing_package_is_not_hidden_as_a_failed_episode():
    with pytest.raises(MissingDependencyError):
        Guarded(Stubborn(MissingDependencyError("torch", "local"))).act([VIEW])


def test_the_words_of_an_error_say_where_it_happened():
    with pytest.raises(AgentError, match=r"ValueError: no \(.*test_processes.py:\d+\)"):
        Guarded(Stubborn(ValueError("no"))).act([VIEW])


def test_a_process_that_dies_takes_no_other_task_along(tmp_path, monkeypatch):
    (tmp_path / "trouble_agent.py").write_text(TROUBLE)
    monkeypatch.syspath_prepend(str(tmp_path))
    chosen = select(tasks(ENV), task_types=("find-non-living-thing",), per_type=6)
    deadly, cursed, clumsy = (task.id for task in chosen[:3])
    options = {"folder": str(tmp_path), "deadly": deadly, "cursed": cursed, "clumsy": clumsy}
    episodes = {
        episode.task.id: episode
        for episode in play_parallel(
            ENV,
            partial(make_agent, "trouble_agent:make", options),
            chosen,
            workers=2,
            env_options={"max_episode_steps": 2, "admissible_commands": False},
        )
    }
    assert set(episodes) == {task.id for task in chosen}
    assert episodes[deadly].stop == "env_error"
    assert "died (exit status -9)" in episodes[deadly].error
    assert episodes[deadly].agent == "trouble"
    assert episodes[clumsy].stop == "agent_error"
    assert "ZeroDivisionError: one too many" in episodes[clumsy].error
    for task in chosen[3:]:
        assert episodes[task.id].stop == "truncated"
    assert episodes[cursed].stop == "truncated"  # it died once and was tried again
    assert len(episodes[cursed].turns) == 2


def test_an_agent_that_cannot_be_made_ends_the_run_with_its_reason():
    with pytest.raises(UsageError, match="takes no settings"):
        list(play_parallel(ENV, partial(make_agent, "random", {"a": "b"}), [VIEW.task]))
    with pytest.raises(UsageError, match="at least 1"):
        list(play_parallel(ENV, partial(make_agent, "random"), [VIEW.task], workers=0))


def test_whoever_stops_listening_leaves_no_process_behind(tmp_path, monkeypatch):
    (tmp_path / "slow_agent.py").write_text(
        "import os\nfrom pathlib import Path\nfrom act_gym import function_agent\n"
        f"Path({str(tmp_path)!r}, f'{{os.getpid()}}.pid').touch()\n"
        "agent = function_agent('slow', lambda view: 'wait')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    chosen = select(tasks(ENV), task_types=("find-non-living-thing",), per_type=4)
    options = {"max_episode_steps": 2, "admissible_commands": False}
    episodes = play_parallel(ENV, partial(make_agent, "slow_agent:agent"), chosen, workers=2, env_options=options)
    next(episodes)
    episodes.close()
    started = [int(path.stem) for path in Path(tmp_path).glob("*.pid")]
    assert started
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIG_DFL)


def test_of_a_batch_only_the_deadly_episode_is_lost(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    chosen = tasks("act/ALFWorld-generated-seen")[:14]
    settings = {"folder": str(tmp_path), "deadly": chosen[5].id, "cursed": "", "clumsy": chosen[9].id}
    text = TROUBLE.replace("task.payload['variation']", "task.id.replace('/', '_')").replace("look around", "look")
    (tmp_path / "trouble_agent.py").write_text(text, encoding="utf-8")
    jobs = [Job("act/ALFWorld-generated-seen", task) for task in chosen]
    make = partial(make_agent, "trouble_agent:make", settings)
    options = {"max_episode_steps": 3}
    episodes = list(play_jobs_parallel(jobs, make, workers=2, num_envs=4, env_options=options))
    stops = {episode.task.id: episode.stop for episode in episodes}
    assert len(episodes) == len(stops) == 14
    assert stops.pop(chosen[5].id) == "env_error"
    assert stops.pop(chosen[9].id) == "agent_error"
    assert set(stops.values()) == {"truncated"}
