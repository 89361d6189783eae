"""Episodes and answers as a page carries them: an index that is read at once, and the rest in compressed blocks.

The index holds what lists and filters need, one short row an episode. Turns are in blocks
of some 256 KiB of JSON, compressed (zlib) and in base64, and a block is unpacked on demand.
All text is made harmless here (`markup.plain`), so that the scripts need not think of it.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from act_gym.errors import ActGymError
from act_gym.types import Episode, Turn
from agents.prompt_config import Question
from agents.prompt_replay import asked
from benchmarks.html_report.markup import plain
from benchmarks.probes.rationale_interventions import Intervention

__all__ = ["Archive"]

_BLOCK = 2**18  # characters of JSON; unpacking one takes a browser milliseconds
_TEXT = 100_000  # characters of one observation or reply; longer ones are cut and say so
_LINE = 600  # characters of a text in the index
_COMMANDS = 200  # admissible commands of a turn
_TOLD_BY_OUTCOME = ("right", "malformed", "admissible", "took_alternative")


class Archive:
    """Collects what a page can show in detail."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.failed: dict[tuple[int, str, str, str], int] = {}
        """The first episode without success, by run, benchmark, split and task type that did not end with an error."""
        self._runs: list[dict[str, Any]] = []
        self._episodes: list[list[Any]] = []
        self._pairs: list[list[Any]] = []
        self._actions: list[list[Any]] = []
        self._words: dict[str, int] = {}
        self._open: list[str] = []
        self._size = 0

    def add_run(self, label: str, subject: str, folder: str, left_out: int) -> int:
        """Add a run and return its number.

        Args:
            label: Name of the run in comparisons.
            subject: The agent or model.
            folder: Where it is.
            left_out: How many of its records are not in this archive.
        """
        texts = {"label": label, "subject": subject, "folder": folder}
        self._runs.append({name: plain(text, _LINE) for name, text in texts.items()} | {"left_out": left_out})
        return len(self._runs) - 1

    def add_episode(
        self,
        run: int,
        episode: Episode,
        question: Question | None = None,
        env_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an episode of a run.

        Args:
            run: Its number.
            episode: The episode.
            question: How a model was asked, so that each turn gets its prompt; None without a model.
            env_options: Options of the environment, which a prompt may depend on.
        """
        prompts = _prompts(episode, question, env_options)
        body = {
            "turns": [{**_turn(turn), **prompt} for turn, prompt in zip(episode.turns, prompts, strict=True)],
            "final": plain(episode.final_observation, _TEXT),
            "error": plain(episode.error, _TEXT),
        }
        task = episode.task
        if not episode.success and not episode.error:
            self.failed.setdefault((run, task.benchmark, task.split, task.task_type), len(self._episodes))
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
        asked = {name: record[name] for name in ("answers", *get_args(Intervention)) if name in record}
        self._pairs.append(self._question(run, record, asked, record["alternative"]))

    def add_next_action(self, run: int, record: Mapping[str, Any]) -> None:
        """Add a record of a next action: a state with what a model would do in it."""
        own = {
            name: record[name] for name in (*_TOLD_BY_OUTCOME, "action", "reply", "log_probability") if name in record
        }
        answers = {"answers": own} | {name: record[name] for name in get_args(Intervention) if name in record}
        asked = {name: [_with_outcome(answer, record)] for name, answer in answers.items()}
        self._actions.append(self._question(run, record, asked, record["action"]))

    def _question(
        self, run: int, record: Mapping[str, Any], asked: Mapping[str, Sequence[Mapping[str, Any]]], other: str
    ) -> list[Any]:
        """Keep a question and its answers; return its row; `other` is the alternative to the expert's action."""
        names = ("state", "expert_action", "alternative", "proposer", "rationale")
        commands = record.get("admissible_commands", ())
        body: dict[str, Any] = {name: plain(str(record[name]), _TEXT) for name in names if record.get(name)}
        body |= {"can": _commands(commands, record["expert_action"]), "of": len(commands)}
        body["asked"] = {name: [_answer(answer) for answer in answers] for name, answers in asked.items()}
        return [
            run,
            *(self._word(record[name]) for name in ("benchmark", "split", "task_type")),
            plain(record["id"], _LINE),
            plain(record["expert_action"], _LINE),
            plain(other, _LINE),
            [self._word(answer["outcome"]) for answer in asked["answers"]],
            *self._keep(body),
        ]

    def index(self) -> dict[str, Any]:
        """Return the index; nothing can be added after it."""
        self._close()
        rows = {"episodes": self._episodes, "pairs": self._pairs, "actions": self._actions}
        return {"runs": self._runs, "words": list(self._words), **rows}

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
    """Return a turn with short names, without empty or derivable values."""
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


def _prompts(
    episode: Episode, question: Question | None, env_options: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """Return for each turn what its prompt adds to the first `kept` messages of the turn before.

    A conversation grows, so each of its messages is carried once.
    """
    found: list[dict[str, Any]] = []
    before: list[Any] = []
    for number in range(len(episode.turns)):
        if question is None:
            found.append({})
            continue
        try:
            prompt = asked(episode, number, question, env_options)
        except ActGymError:  # such as an example whose data is not here
            return [{} for _ in episode.turns]
        pairs = zip(before, prompt.messages, strict=False)
        kept = next(
            (place for place, (old, new) in enumerate(pairs) if old != new), min(len(before), len(prompt.messages))
        )
        added = [[plain(one["role"], _LINE), plain(one["content"], _TEXT)] for one in prompt.messages[kept:]]
        found.append({"kept": kept, "asked": added, **({} if prompt.is_exact else {"unsure": 1})})
        before = prompt.messages
    return found


def _answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {plain(key): plain(value, _TEXT) if isinstance(value, str) else value for key, value in answer.items()}


def _with_outcome(answer: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer to which action is next, with one word for what kind of answer it is."""
    if answer["malformed"]:
        outcome = "malformed"
    elif answer["right"]:
        outcome = "right"
    elif answer.get("took_alternative"):
        outcome = "alternative"
    else:
        outcome = "not admissible" if record["candidates"] and not answer["admissible"] else "wrong"
    rest = {name: value for name, value in answer.items() if name not in _TOLD_BY_OUTCOME}
    return {"outcome": outcome, **rest}


def _commands(commands: Iterable[str], action: str) -> list[str]:
    """Return the first admissible commands and the action, if it is one of those left out."""
    listed = list(commands)
    kept = listed[:_COMMANDS]
    if action in listed and action not in kept:
        kept.append(action)
    return [plain(command, _LINE) for command in kept]
