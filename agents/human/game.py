"""The rules of the terminal game: what a typed line does.

It reads no terminal (`agents.human.play`) and knows no layout (`agents.human.screen`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym

from act_gym.engine import observing
from act_gym.env import TextEnv
from act_gym.errors import EngineError, UsageError
from act_gym.io.jsonl import RecordWriter
from act_gym.types import Episode, Turn
from agents.human.screen import FEW, HELP, Screen, matching
from agents.placeholders import fill, has_blank

__all__ = ["Game"]


class Game:
    """A running game: what was typed goes in, what happens goes to the screen.

    Args:
        env: Made with `gym.make`.
        screen: Where everything is printed.
        env_id: The environment's id, for the saved episode.
        seed: Seeds the order of tasks.
        save: File for finished episodes; None keeps none.
    """

    def __init__(
        self, env: gym.Env[str, str], screen: Screen, env_id: str, *, seed: int = 0, save: Path | None = None
    ) -> None:
        self.env = env
        self.screen = screen
        self.env_id = env_id
        self.seed = seed
        self.save = save
        self.turns: list[Turn] = []
        self.observation = ""
        self.info: dict[str, Any] = {}
        self.stop = ""  # why the episode ended; empty while it runs
        self._finished: Episode | None = None  # written once nobody can take its last action back
        self._hinted = False
        self._changing: list[bool] = []  # for each turn, whether it changed what can be seen
        self._asked = 0.0
        self._first_seed: int | None = seed
        inner = env.unwrapped
        assert isinstance(inner, TextEnv)
        self._inner = inner

    @property
    def commands(self) -> Sequence[str]:
        """What the simulator accepts now."""
        listed: Sequence[str] = self.info.get("admissible_commands", ())
        return listed

    def start(self, task_id: str = "") -> None:
        """Start a task: this one, or the next that the seed draws."""
        self._write()
        options = {"task_id": task_id} if task_id else None
        self.observation, self.info = self.env.reset(seed=self._first_seed, options=options)
        self._first_seed = None  # a seed begins the same order again
        self.turns, self.stop, self._hinted, self._changing = [], "", False, []
        self._show_task()
        self._show()
        self.screen.say("Type a command, its number, or :help", "dim")

    def take(self, line: str) -> bool:
        """Act on one typed line; false means that the person wants to stop."""
        line = line.strip()
        word = line.lower()
        meta = {
            ":help": lambda: self.screen.say(HELP),
            ":history": lambda: self.screen.history(self.turns),
            ":task": self._show_task,
            ":hint": self._hint,
            ":undo": self._undo,
            ":new": self.start,
            "+": self.screen.more,
        }
        if word in (":quit", ":q", ":exit"):
            return False
        if word in meta:
            meta[word]()
        elif line.startswith("?"):
            words = line[1:].strip()
            self.screen.commands(self.commands, matching(self.commands, words) if words else None)
        elif line.startswith(":"):
            self.screen.say(f"There is no {line}; :help lists what there is.", "red")
        elif line:
            self._act(line)
        return True

    def leave(self) -> None:
        """Save what is finished and say goodbye."""
        if self.save is not None and self.turns and not self.stop:
            self.screen.say("This game is not finished and is not saved.", "dim")
        self._write()
        self.screen.say("Bye.", "dim")

    def _act(self, line: str) -> None:
        if self.stop:
            self.screen.say("This episode is over: :new, :undo or :quit", "yellow")
            return
        action = line
        # ScienceWorld itself asks for a number when several things fit; then the typed one is meant.
        if line.isdecimal() and line not in self.commands:
            if not 1 <= int(line) <= len(self.commands):
                self.screen.say(f"Numbers go from 1 to {len(self.commands):,}.", "red")
                return
            action = self.commands[int(line) - 1]
            if has_blank(action):
                self.screen.say(f"Type it with your own words: {fill(action, '…')}", "yellow")
                return
            self.screen.say(f"> {action}", "bold")
        self._step(action)
        self._show_outcome()

    def _show_outcome(self) -> None:
        if self.stop != "env_error":
            self._show()
        if self.stop:
            self.screen.parts(self.info.get("reward_info", {}))
            self.screen.end(self.info["success"], self.info["score"], self.stop)
            self._finished = self._episode()

    def _step(self, action: str) -> None:
        before, commands = self.observation, tuple(self.commands)
        try:
            seen = self._seen()
            self.observation, reward, terminated, truncated, self.info = self.env.step(action)
            self._changing.append(self._seen() != seen)
        except EngineError as error:
            self.stop = "env_error"
            self.screen.say(str(error), "red")
            return
        now = time.monotonic()
        self.turns.append(
            Turn(
                observation=before,
                admissible_commands=commands,
                response=action,
                action=action,
                action_valid=self.info["action_valid"],
                reward=float(reward),
                score=self.info["score"],
                seconds=now - self._asked,
            )
        )
        self._asked = now
        self.stop = "terminated" if terminated else "truncated" if truncated else ""

    def _undo(self) -> None:
        """Start the same task again and replay all actions but the last."""
        if not self.turns:
            self.screen.say("There is nothing to take back.", "dim")
            return
        *kept, dropped = self.turns
        self.observation, self.info = self.env.reset(options={"task_id": self.info["task_id"]})
        self.turns, self.stop, self._finished, self._changing = [], "", None, []
        for turn in kept:
            self._step(turn.action)
        self.turns = [replace(new, seconds=old.seconds) for new, old in zip(self.turns, kept, strict=False)]
        number = len(kept)
        self.screen.say(
            f"Took back “{dropped.action}”: started the task again and replayed {number} action{'s' * (number != 1)}.",
            "dim",
        )
        self._show()

    def _hint(self) -> None:
        try:
            hint = self._planned() or self._on_the_experts_way()
        except EngineError as error:
            self.screen.say(str(error), "red")
            return
        self._hinted = True
        self.screen.say(hint, "magenta")

    def _planned(self) -> str:
        """Return the first command of a plan from here; empty where the engine cannot plan."""
        try:
            plan = self._inner.plan()
        except UsageError:
            return ""
        return f"The expert's next command: {plan[0]}" if plan else "The task is solved."

    def _on_the_experts_way(self) -> str:
        """Return the next command of the solution from the start, after those that were done in its order."""
        expert = self._inner.expert_commands()
        done, left = 0, 0
        for number, (turn, changed) in enumerate(zip(self.turns, self._changing, strict=True), start=1):
            if done < len(expert) and turn.action == expert[done]:
                done += 1
            elif changed and not left:
                left = number
        if done == len(expert):
            return "You have done all that the expert does."
        if left:
            return f"You left the expert's way at turn {left}. The next command on it: {expert[done]}"
        return f"The expert's next command: {expert[done]}"

    def _seen(self) -> tuple[str, ...]:
        """Return the score and the engine's texts about the state; an action that leaves them changed nothing."""
        engine = self._inner.engine
        names: tuple[str, ...] = getattr(engine, "observable", ())
        return (str(self.info.get("score")), *(observing(engine, names).observe(name) for name in names))

    def _show_task(self) -> None:
        self.screen.goal(self.info["goal"], self.info["task_id"], self.info["task_type"])

    def _show(self) -> None:
        limit = self.env.spec.max_episode_steps if self.env.spec is not None else None
        self.screen.state(self.observation, self.info, limit)
        if not self.stop and (not self.turns or len(self.commands) <= FEW):
            self.screen.commands(self.commands)
        self._asked = time.monotonic()

    def _episode(self) -> Episode:
        task = next(task for task in self._inner.tasks if task.id == self.info["task_id"])
        return Episode(
            task=task,
            env_id=self.env_id,
            agent="human:hinted" if self._hinted else "human",
            seed=self.seed,
            goal=self.info["goal"],
            turns=tuple(self.turns),
            final_observation=self.observation,
            success=self.info["success"],
            score=self.info["score"],
            raw_score=self.info["raw_score"],
            stop=self.stop,
            versions=dict(self._inner.engine.versions),
        )

    def _write(self) -> None:
        episode, self._finished = self._finished, None
        if episode is None or self.save is None:
            return
        with RecordWriter(self.save) as writer:
            writer.write(episode.to_json())
        self.screen.say(f"Saved the episode in {self.save}.", "dim")
