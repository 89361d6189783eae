"""AgentGym's WebShop trajectories as episodes; `trainers.import_trajectories` calls it for a file of them.

Each is played again in our engine with the limit that its instruction names, as the source's server had drawn others
than we do. Observations, validity and reward are ours; the file holds no rewards. One that is not worth 1.0 is left out
of the episodes and has its reason in `replays.jsonl`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from act_gym.engine import Engine
from act_gym.engines.webshop.agenttraj import Trajectory, read_trajectories
from act_gym.engines.webshop.engine import WebShopEngine
from act_gym.errors import EngineError
from act_gym.io.jsonl import RecordWriter, read_records
from act_gym.progress import track
from act_gym.splits.webshop import tasks
from act_gym.types import Episode, StepResult, Task, Turn

__all__ = ["AGENT", "CAUSES", "Replies", "import_webshop", "is_webshop", "replayed_episode", "replayed_turn"]


AGENT = "imported:AgentTraj-L"
"""The agent's name in the episodes."""


class Replies(Protocol):
    """An agent's replies, one entry for each of its turns."""

    @property
    def replies(self) -> Sequence[str]:
        """As they were."""
        ...

    @property
    def thoughts(self) -> Sequence[str]:
        """The reasoning in them."""
        ...

    @property
    def actions(self) -> Sequence[str]:
        """The actions in them."""
        ...


def replayed_turn(said: Replies, at: int, before: StepResult, after: StepResult) -> Turn:
    """Return a turn with the agent's part from the other group's file and the rest from our engine."""
    return Turn(
        observation=before.observation,
        response=said.replies[at],
        thought=said.thoughts[at],
        action=said.actions[at],
        action_valid=after.action_valid,
        reward=after.score - before.score,
        score=after.score,
    )


def replayed_episode(
    env_id: str, task: Task, engine: Engine, turns: Sequence[Turn], state: StepResult, error: str
) -> Episode:
    """Return the episode of an engine that has just replayed a trajectory.

    Args:
        env_id: The environment that it would have been played in.
        task: The task.
        engine: The engine, as it was left.
        turns: The turns that were played.
        state: The last state.
        error: Why the engine failed; empty if it did not.
    """
    return Episode(
        task=task,
        env_id=env_id,
        agent=AGENT,
        seed=0,
        goal=engine.goal,
        turns=tuple(turns),
        final_observation=state.observation,
        success=state.success and not error,
        score=state.score,
        raw_score=state.raw_score,
        stop="env_error" if error else "terminated" if state.terminated else "truncated",
        error=error,
        versions=dict(engine.versions),
    )


ENV_ID = "act/WebShop"

CAUSES = {
    "engine failed": "the shop failed",
    "refused": "an action that the source's shop offered was not available",
    "no purchase": "it ends before anything is bought",
    "worth less": "the purchase is not worth 1.0",
}
"""Why a trajectory does not end at a reward of 1.0, the first that applies."""


def is_webshop(file: Path) -> bool:
    """Return whether the first trajectory of a file is one of WebShop.

    Raises:
        RunError: The file cannot be read.
    """
    first: Mapping[str, Any] = next(iter(read_records(file)), {})
    return str(first.get("item_id", "")).startswith("webshop_")


def import_webshop(file: Path, episodes: Path, replays: Path, *, task_types: Sequence[str] = (), limit: int = 0) -> str:
    """Replay trajectories that have not been replayed yet, and write the outcomes.

    Args:
        file: The trajectories.
        episodes: Where to add those worth 1.0.
        replays: Where to add a line for each.
        task_types: Only goals of these departments; empty for all.
        limit: At most this many; 0 for all.

    Returns:
        Markdown: the outcomes of each department, and the causes.

    Raises:
        CorruptDataError: A line is not a trajectory of WebShop.
        MissingDataError: The catalogue is not on this machine.
    """
    known = {task.payload["goal"]: task for task in tasks()}
    found = [each for each in read_trajectories(file) if not task_types or known[each.goal].task_type in task_types]
    chosen = found[: limit or None]
    done = set(_latest(replays))
    left = [each for each in chosen if each.item not in done]
    # A run that was killed between its two files has an episode there already.
    kept = {record["task"]["id"] for record in read_records(episodes)} if episodes.exists() else set()
    limits = {each.goal: each.price_upper for each in chosen}
    with (
        closing(WebShopEngine(prices={"limits": limits})) as engine,
        RecordWriter(episodes) as episode_writer,
        RecordWriter(replays) as replay_writer,
    ):
        for each in track(left, "replaying", total=len(chosen), done=len(chosen) - len(left)):
            episode, record = _replay(engine, known[each.goal], each)
            if not record["cause"] and record["task_id"] not in kept:
                episode_writer.write(episode.to_json())
            replay_writer.write(record)
    return _summary(list(_latest(replays).values()))


def _replay(engine: WebShopEngine, task: Task, trajectory: Trajectory) -> tuple[Episode, dict[str, Any]]:
    turns: list[Turn] = []
    same, error = 0, ""
    state = StepResult(observation="", score=0, raw_score=0, success=False, terminated=False)
    try:
        state = engine.reset(task)
        for at, action in enumerate(trajectory.actions):
            if state.terminated:
                break
            same += trajectory.observations[at] == state.observation
            before, state = state, engine.step(action)
            turns.append(replayed_turn(trajectory, at, before, state))
    except EngineError as fault:
        error = str(fault)
    episode = replayed_episode(ENV_ID, task, engine, turns, state, error)
    record = {
        "item": trajectory.item,
        "task_id": task.id,
        "task_type": task.task_type,
        "split": task.split,
        "turns": len(turns),
        "same": same,
        "reward": state.raw_score,
        "cause": _cause(episode),
        "error": error,
    }
    return episode, record


def _cause(episode: Episode) -> str:
    if episode.error:
        return "engine failed"
    if episode.success:
        return ""
    if not all(turn.action_valid for turn in episode.turns):
        return "refused"
    return "worth less" if episode.stop == "terminated" else "no purchase"


def _latest(path: Path) -> dict[str, dict[str, Any]]:
    records = read_records(path) if path.exists() else ()
    return {record["item"]: record for record in records if record["cause"] != "engine failed"}


def _summary(records: Sequence[Mapping[str, Any]]) -> str:
    by_type: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        by_type.setdefault(record["task_type"], []).append(record)
    lines = ["| department | replayed | worth 1.0 | all observations the same |", "|---|--:|--:|--:|"]
    for name, of_type in [*sorted(by_type.items()), ("all", list(records))]:
        worth = sum(not record["cause"] for record in of_type)
        same = sum(record["same"] == record["turns"] for record in of_type)
        lines.append(f"| {name} | {len(of_type):,} | {worth:,} | {same:,} |")
    causes = Counter(record["cause"] for record in records if record["cause"])
    if causes:
        lines += ["", "| why it is not worth 1.0 | trajectories |", "|---|--:|"]
        lines += [f"| {CAUSES[name]} | {count:,} |" for name, count in causes.most_common()]
    return "\n".join(lines) + "\n"
