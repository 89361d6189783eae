"""Few-shot examples: a short expert episode of another task of the same type, for the prompt.

It comes from the training split of the task's benchmark, never from the task itself. The expert plays the first few
tasks of the type when an example is first needed, with the same environment options; the shortest success is the
example. The same data and options give the same example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from act_gym.benchmarks import NAMESPACE, parse_id, tasks
from act_gym.errors import ActGymError, AgentError
from act_gym.rollout import play
from act_gym.types import Episode, Task
from agents.baselines import ExpertAgent
from agents.prompts import shorten
from agents.reply_formats import find_format

__all__ = ["example_for"]

_TRIED = 4  # tasks played per type; ScienceWorld's take seconds each


# Environment options that do not apply to an example: episode length, a user's own games (an example is from the
# training split), and printing.
_NOT_THE_EXAMPLES = ("max_episode_steps", "step_limit", "games", "render_mode")


def example_for(
    task: Task, format_name: str, max_characters: int = 1200, *, env_options: Mapping[str, Any] | None = None
) -> str:
    """Return an example for a task as text: goal, then observations and replies.

    Args:
        task: The task to play.
        format_name: The format of the replies.
        max_characters: Each observation is cut to this length.
        env_options: Options of the task's environment.

    Raises:
        AgentError: The expert solves no other task of this type.
    """
    training = _training(task, env_options or {})
    episode = next((one for one in _solved(training, task.task_type) if one.task.id != task.id), None)
    if episode is None:
        options = f" with {dict(training.options)}" if training.options else ""
        raise AgentError(
            f"There is no example for {task.id}: in {training.env_id}{options} the expert solves no other task of the "
            f"kind {task.task_type}. Play without example=true."
        )
    write = find_format(format_name).write
    lines = [f"Task: {episode.goal.strip()}"]
    for turn in episode.turns:
        # The action counts as possible, so the button that the expert clicks is shown.
        lines += [f"Observation:\n{shorten(turn.observation, max_characters, [turn.action])}", write(turn.action, "")]
    return "\n\n".join(lines)


@dataclass(frozen=True)
class _Training:
    """Environment of training tasks; two are equal if their options have the same `repr`."""

    env_id: str
    written: str
    options: Mapping[str, Any] = field(compare=False)


def _training(task: Task, env_options: Mapping[str, Any]) -> _Training:
    """Return the environment of a task's training split."""
    split = "generated-train" if task.split.startswith("generated-") else "train"
    options = {name: env_options[name] for name in sorted(env_options) if name not in _NOT_THE_EXAMPLES}
    return _Training(f"{NAMESPACE}/{task.benchmark}-{split}", repr(options), options)


@lru_cache(maxsize=256)
def _solved(training: _Training, task_type: str) -> Sequence[Episode]:
    """Return the expert's successes among the first tasks of a type, shortest first."""
    env_id, options = training.env_id, training.options
    try:
        chosen = parse_id(env_id)[0].choosing(options)
        same = [task for task in tasks(env_id, **chosen) if task.task_type == task_type][: _TRIED + 1]
        played = list(play(env_id, ExpertAgent(), same, env_options=options, keep_commands=False))
    except ActGymError as cause:
        raise AgentError(f"There is no example for tasks of the kind {task_type}: {cause}") from cause
    return sorted((one for one in played if one.success), key=lambda one: (len(one.turns), one.task.id))
