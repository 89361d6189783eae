"""Episodes and answers as a page carries them: an index that is read at once, and the rest in compressed blocks.

The index holds what lists and filters need, one short row an episode. What was said and done stands in blocks
of some 256 KiB of JSON, compressed (zlib) and in base64, and a block is unpacked when somebody looks into it.
All text is made harmless here (`markup.plain`), so that the scripts need not think of it.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from act_gym.core import Episode, Turn
from benchmarks.interventions import Intervention
from benchmarks.pages.markup import plain

__all__ = ["Archive"]

_BLOCK = 2**18  # characters of JSON; unpacking one takes a browser milliseconds
_TEXT = 100_000  # characters of one observation or reply; longer ones are cut and say so
_LINE = 600  # characters of what stands in the index
_COMMANDS = 200  # admissible commands of a turn


class Archive:
    """Collects what a page can show in detail."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self._runs: list[dict[str, Any]] = []
        self._episodes: list[list[Any]] = []
        self._pairs: list[list[Any]] = []
        self._words: dict[str, int] = {}
        self._open: list[str] = []
        self._size = 0

    def add_run(self, label: str, subject: str, folder: str, left_out: int) -> int:
        """Add a run and return its number.

        Args:
            label: What a comparison calls it.
            subject: The agent or model.
            folder: Where it is.
            left_out: How many of its records are not in this archive.
        """
        texts = {"label": label, "subject": subject, "folder": folder}
        self._runs.append({name: plain(text, _LINE) for name, text in texts.items()} | {"left_out": left_out})
        return len(self._runs) - 1

    def add_episode(self, run: int, episode: Episode) -> None:
        """Add an episode of a run."""
        body = {
            "turns": [_turn(turn) for turn in episode.turns],
            "final": plain(episode.final_observation, _TEXT),
            "error": plain(episode.error, _TEXT),
        }
        task = episode.task
        self._episodes.append(
            [
                run,
                self._word(task.benchmark),
                self._word(task.split),
                self._word(task.task_type),
                plain(task.id, _LINE),
                episode.seed,
                int(episode.success),
                round(episode.score, 4),
                len(episode.turns),
                self._word(episode.stop),
                plain(episode.goal, _LINE),
                *self._keep(body),
            ]
        )

    def add_pair(self, run: int, record: Mapping[str, Any]) -> None:
        """Add a judgement's record: a pair with its two answers, the first with the expert's action first."""
        names = ("state", "expert_action", "alternative", "proposer", "rationale")
        body: dict[str, Any] = {name: plain(str(record.get(name, "")), _TEXT) for name in names}
        asked = [name for name in ("answers", *get_args(Intervention)) if name in record]
        body["asked"] = {name: [_answer(answer) for answer in record[name]] for name in asked}
        self._pairs.append(
            [
                run,
                *(self._word(record[name]) for name in ("benchmark", "split", "task_type")),
                plain(record["id"], _LINE),
                plain(record["expert_action"], _LINE),
                plain(record["alternative"], _LINE),
                [self._word(answer["outcome"]) for answer in record["answers"]],
                *self._keep(body),
            ]
        )

    def index(self) -> dict[str, Any]:
        """Return the index; nothing can be added after it."""
        self._close()
        return {"runs": self._runs, "words": list(self._words), "episodes": self._episodes, "pairs": self._pairs}

    def _word(self, word: str) -> int:
        return self._words.setdefault(plain(word, _LINE), len(self._words))

    def _keep(self, body: Any) -> tuple[int, int]:
        """Put a body into the block that is being filled; return the block's number and its place there."""
        if self._size > _BLOCK:
            self._close()
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        self._open.append(text)
        self._size += len(text)
        return len(self.blocks), len(self._open) - 1

    def _close(self) -> None:
        if self._open:
            packed = zlib.compress(f"[{','.join(self._open)}]".encode(), 6)
            self.blocks.append(base64.b64encode(packed).decode())
        self._open, self._size = [], 0


def _turn(turn: Turn) -> dict[str, Any]:
    """Return a turn with short names; what is empty or follows from the rest is left out."""
    spoken = turn.response if turn.response.strip() != turn.action else ""
    found = {
        "see": plain(turn.observation, _TEXT),
        "can": _commands(turn.admissible_commands, turn.action),
        "of": len(turn.admissible_commands),
        "say": plain(spoken, _TEXT),
        "think": plain(turn.thought, _TEXT),
        "do": plain(turn.action, _TEXT),
        "odd": int(not turn.action_valid),
        "reward": round(turn.reward, 6),
        "score": round(turn.score, 6),
        "read": turn.prompt_tokens,
        "wrote": turn.completion_tokens,
        "seconds": round(turn.seconds, 3),
    }
    return {name: value for name, value in found.items() if value}


def _answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {plain(key): plain(value, _TEXT) if isinstance(value, str) else value for key, value in answer.items()}


def _commands(commands: Iterable[str], action: str) -> list[str]:
    """Return the first admissible commands and the action, if it is one of those left out."""
    listed = list(commands)
    kept = listed[:_COMMANDS]
    if action in listed and action not in kept:
        kept.append(action)
    return [plain(command, _LINE) for command in kept]
