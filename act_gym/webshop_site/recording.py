"""Records visits to a shop as episodes, in a folder for trainers and `act-gym report`.

```
runs/demonstrations/
├── episodes.jsonl   every visit, as it ended
└── repeats.jsonl    further purchases of reward 1.0 for tasks that already have one in episodes.jsonl
```
Trainers take each task once, so a second perfect purchase for the same task goes to the other file.
"""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

from act_gym.errors import UsageError
from act_gym.io.jsonl import RecordWriter, read_records
from act_gym.types import Episode

__all__ = ["EPISODES", "REPEATS", "Recorder"]

EPISODES = "episodes.jsonl"
"""The file of all visits but repeated perfect ones."""

REPEATS = "repeats.jsonl"
"""The file of perfect visits to tasks that have one already."""


class Recorder:
    """Writes episodes into a folder and tracks its tasks; locks the folder.

    Args:
        folder: The folder, created if absent; its content is kept.

    Raises:
        UsageError: Another shop records there, or the folder is not writable.
        RunError: The present episodes cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.best: dict[str, float] = {}
        """The best score of every task that was played, by its id."""
        self._solved: set[str] = set()
        self._waiting: list[Episode] = []
        self._lock = _hold(folder)
        if (folder / EPISODES).exists():
            for record in read_records(folder / EPISODES):
                self._note(record["task"]["id"], record["score"], success=record["success"])

    def keep(self, episode: Episode) -> Path | None:
        """Write an episode, and before it those that could not be written earlier.

        Returns:
            The file it is in; None if it cannot be written now. Then it is tried again with the next one.
        """
        self._waiting.append(episode)
        path = None
        try:
            while self._waiting:
                path = self._write(self._waiting[0])
                del self._waiting[0]
        except OSError as cause:
            sys.stderr.write(f"An episode could not be saved in {self.folder} yet: {cause.strerror or cause}.\n")
            return None
        return path

    def close(self) -> None:
        """Let another shop record into the folder."""
        os.close(self._lock)

    def _write(self, episode: Episode) -> Path:
        repeated = episode.success and episode.task.id in self._solved
        path = self.folder / (REPEATS if repeated else EPISODES)
        with RecordWriter(path) as writer:
            writer.write(episode.to_json())
        self._note(episode.task.id, episode.score, success=episode.success)
        sys.stderr.write(f"{episode.task.id}: score {episode.score:.2f}, saved in {path}\n")
        return path

    def _note(self, task_id: str, score: float, *, success: bool) -> None:
        self.best[task_id] = max(score, self.best.get(task_id, 0.0))
        if success:
            self._solved.add(task_id)


def _hold(folder: Path) -> int:
    """Take the folder for this process; the lock goes with it, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as cause:
        raise UsageError(
            f"Cannot record visits in {folder}: {cause.strerror or cause}. Choose another --out."
        ) from cause
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as cause:
        os.close(handle)
        raise UsageError(f"Another act-gym shop records its visits in {folder}. Choose another --out.") from cause
    return handle
