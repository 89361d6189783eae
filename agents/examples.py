"""An expert's short episode of another task of the same kind, to stand in a prompt as an example.

It comes from the training split that belongs to the task, never from the task itself, and is played by the
expert when it is first asked for: the shortest success of the first few tasks of the kind. The same data gives
the same example.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from act_gym.benchmark import BENCHMARKS, NAMESPACE, tasks
from act_gym.core import Episode, Task
from act_gym.errors import ActGymError, AgentError
from act_gym.rollout import play
from agents.formats import find_format
from agents.scripted import ExpertAgent
from agents.shortening import shorten

__all__ = ["example_for"]

_TRIED = 4  # tasks of a kind that are played; ScienceWorld's take seconds each


def example_for(task: Task, format_name: str, max_characters: int = 1200) -> str:
    """Return an example for a task as text: goal, observations and replies in turn.

    Args:
        task: The task that is about to be played.
        format_name: The format of the replies.
        max_characters: Each observation is cut to this length; what the expert clicks stays.

    Raises:
        AgentError: There is no other task of this kind that an expert solves.
    """
    episode = next((one for one in _solved(_training(task), task.task_type) if one.task.id != task.id), None)
    if episode is None:
        raise AgentError(f"There is no example for {task.id}: no other task of the kind {task.task_type} was solved.")
    write = find_format(format_name).write
    lines = [f"Task: {episode.goal.strip()}"]
    for turn in episode.turns:
        # The action is among what was possible, so what the expert clicks is shown.
        lines += [f"Observation:\n{shorten(turn.observation, max_characters, [turn.action])}", write(turn.action, "")]
    return "\n\n".join(lines)


def _training(task: Task) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the environment of the training tasks that belong to a task, and the options it is made with."""
    benchmark = BENCHMARKS[task.benchmark]
    split = "generated-train" if task.split.startswith("generated-") else "train"
    catalogue = task.id.split("/")[1] if "catalogue" in benchmark.task_options else ""
    return f"{NAMESPACE}/{task.benchmark}-{split}", (("catalogue", catalogue),) if catalogue else ()


@lru_cache(maxsize=256)
def _solved(training: tuple[str, tuple[tuple[str, str], ...]], task_type: str) -> Sequence[Episode]:
    """Return the expert's successes at the first tasks of a kind, the shortest first."""
    env_id, options = training
    try:
        same = [task for task in tasks(env_id, **dict(options)) if task.task_type == task_type][: _TRIED + 1]
        played = list(play(env_id, ExpertAgent(), same, env_options=dict(options), keep_commands=False))
    except ActGymError as cause:
        raise AgentError(f"There is no example for tasks of the kind {task_type}: {cause}") from cause
    return sorted((one for one in played if one.success), key=lambda one: (len(one.turns), one.task.id))
