"""Replay agent: plays recorded episodes again and reports the first different observation.

    act-gym eval --agent replay:episodes=runs/x/episodes.jsonl --env act/ALFWorld-seen

The actions come from the file. Before each action, the observation is compared with the recorded one. The first
difference ends the episode with `agent_error`; the message names the turn and the character. An episode without an
error equals the recorded one, word for word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from act_gym.agent import AgentAction, AgentInput
from act_gym.errors import AgentError, UsageError
from act_gym.io.jsonl import read_records
from act_gym.io.run_dir import sha256_of
from act_gym.types import Episode

__all__ = ["ReplayAgent", "ReplaySettings", "first_difference"]

_AROUND = 30  # characters shown on either side of a difference


@dataclass(frozen=True, kw_only=True)
class ReplaySettings:
    """Replay recorded episodes."""

    episodes: str = ""
    """File of episodes, e.g. a run's `episodes.jsonl`."""
    check: bool = True
    """Compare observations; if false, play the actions whatever the observations."""


class ReplayAgent:
    """Replays recorded actions, found by task and seed, or by task alone if it has only one episode.

    Args:
        settings: The file, and whether to compare.

    Raises:
        UsageError: The file does not exist or has no episode.
        RunError: The file has other records.
    """

    cheap = True

    def __init__(self, settings: ReplaySettings) -> None:
        if not settings.episodes or not Path(settings.episodes).is_file():
            raise UsageError(
                f"The agent replay needs a file of episodes, e.g. replay:episodes=runs/x/episodes.jsonl; "
                f"got {settings.episodes!r}."
            )
        self.settings = settings
        self._episodes: dict[str, dict[int, Episode]] = {}
        for data in read_records(Path(settings.episodes)):
            episode = Episode.from_json(data)
            self._episodes.setdefault(episode.task.id, {})[episode.seed] = episode
        if not self._episodes:
            raise UsageError(f"{settings.episodes} holds no episodes.")

    @property
    def name(self) -> str:
        """The name, with that of the recorded agent."""
        agents = sorted({episode.agent for seeds in self._episodes.values() for episode in seeds.values()})
        return f"replay:{'+'.join(agents)}"

    @property
    def facts(self) -> Mapping[str, str]:
        """Fingerprint for the manifest: identifies the recording."""
        return {"episodes_sha256": sha256_of(Path(self.settings.episodes))}

    def act(self, views: Sequence[AgentInput]) -> Sequence[AgentAction]:
        """Return the recorded action for each input.

        Raises:
            AgentError: No episode matches, or the observation differs.
        """
        return [self._next(view) for view in views]

    def _next(self, view: AgentInput) -> AgentAction:
        seeds = self._episodes.get(view.task.id, {})
        episode = seeds.get(view.seed) or (next(iter(seeds.values())) if len(seeds) == 1 else None)
        if episode is None:
            raise AgentError(f"{self.settings.episodes} holds no episode of {view.task.id} with seed {view.seed}.")
        place = len(view.history)
        ended = place >= len(episode.turns)
        if self.settings.check:
            recorded = episode.final_observation if ended else episode.turns[place].observation
            difference = first_difference(recorded, view.observation)
            if difference:
                raise AgentError(
                    f"{view.task.id}: turn {place + 1} shows something else than was recorded, {difference}"
                )
        if ended:
            raise AgentError(f"{view.task.id}: the recorded episode ends after {place} turns ({episode.stop}).")
        turn = episode.turns[place]
        return AgentAction(
            action=turn.action,
            response=turn.response,
            thought=turn.thought,
            prompt_tokens=turn.prompt_tokens,
            completion_tokens=turn.completion_tokens,
        )


def first_difference(recorded: str, shown: str) -> str:
    """Describe the first difference of two texts; empty if they are equal."""
    if recorded == shown:
        return ""
    ends = min(len(recorded), len(shown))
    place = next((index for index in range(ends) if recorded[index] != shown[index]), ends)
    begin = max(0, place - _AROUND)
    then, now = recorded[begin : place + _AROUND], shown[begin : place + _AROUND]
    return f"from character {place + 1} on: {then!r} then, {now!r} now."
