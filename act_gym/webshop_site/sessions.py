"""Sessions: one visitor is one episode of the environment, played click by click.

This module is independent of pages and HTTP. One lock serves all visitors, because they share the search index; an
action takes milliseconds.
"""

from __future__ import annotations

import secrets
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import RLock

import gymnasium as gym

from act_gym.agent import AgentAction
from act_gym.engines.webshop.engine import WebShopEngine
from act_gym.engines.webshop.session import Session
from act_gym.engines.webshop.session_state import Visit
from act_gym.env import TextEnv
from act_gym.errors import CorruptDataError, EngineError
from act_gym.types import Episode, Task, Turn
from act_gym.webshop_site.recording import Recorder

__all__ = ["LEFT", "Customer", "Customers", "Offer"]

LEFT = "The visitor left without buying."
"""Episode error of a visitor who left."""

_MOST = 256  # concurrent visitors; beyond that, the one idle for longest leaves


class Customer:
    """Visitor with one task.

    Args:
        name: The name in the URLs of the visitor's pages.
        env: The visitor's own environment, made with `gym.make`.
        task: The task.

    Raises:
        MissingDataError, CorruptDataError, EngineError: The task cannot be started.
    """

    def __init__(self, name: str, env: gym.Env[str, str], task: Task) -> None:
        self.name = name
        self.task = task
        self.turns: list[Turn] = []
        self.stop = ""
        """Reason of the visit's end, as in `Episode`; empty while it runs."""
        self.error = ""
        """Error message, also for a visitor who left."""
        self.file: Path | None = None
        """Where the visit has been saved."""
        self.observation, self.info = env.reset(options={"task_id": task.id})
        self.last = time.monotonic()
        self._env = env
        self._engine = _engine(env)
        self.versions = dict(self._engine.versions)
        self.session: Session = self._engine.session
        """The goal, and what the pages of this shop show."""
        self.visit: Visit = self._engine.visit
        """Which page the visitor is on."""

    @property
    def commands(self) -> Sequence[str]:
        """Admissible commands; empty after the end."""
        listed: Sequence[str] = self.info["admissible_commands"]
        return listed

    def act(self, action: str) -> None:
        """Do something in the shop; whatever it is, it is one turn. After the end, and if it fails, nothing happens."""
        if self.stop:
            return
        before, commands, now = self.observation, tuple(self.commands), time.monotonic()
        try:
            self.observation, reward, terminated, truncated, self.info = self._env.step(action)
        except (EngineError, CorruptDataError) as error:
            self.stop, self.error = "env_error", str(error)
            return
        self.visit = self._engine.visit
        played = AgentAction(action=action, response=action)
        self.turns.append(played.turn(before, reward, self.info, admissible_commands=commands, seconds=now - self.last))
        self.last = time.monotonic()
        self.stop = "terminated" if terminated else "truncated" if truncated else ""

    def leave(self) -> None:
        """End the visit where it is, unless it has ended."""
        if not self.stop:
            self.stop, self.error = "truncated", LEFT

    def close(self) -> None:
        """Release the environment; pages can still be shown."""
        self._env.close()

    def episode(self, env_id: str, agent: str, seed: int) -> Episode:
        """Return the visit as a record."""
        return Episode(
            task=self.task,
            env_id=env_id,
            agent=agent,
            seed=seed,
            goal=self.info["goal"],
            turns=tuple(self.turns),
            final_observation=self.observation,
            success=self.info["success"] and self.stop != "env_error",
            score=self.info["score"],
            raw_score=self.info["raw_score"],
            stop=self.stop,
            error=self.error,
            versions=self.versions,
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """Entry in the list of tasks: the instruction, and the best score so far; None if never played."""

    task: Task
    instruction: str
    best: float | None


class Customers:
    """Visitors of one shop.

    Args:
        make: Makes an environment; called once for every visitor.
        env_id: Its id.
        recorder: Records the visits.
        agent: The agent's name in the episodes.
        seed: Seed of the order of tasks for visitors without a chosen task.
        limit: The step limit of a visit.

    Raises:
        MissingDataError, CorruptDataError: The catalogue is not on this machine.
    """

    def __init__(
        self,
        make: Callable[[], gym.Env[str, str]],
        env_id: str,
        recorder: Recorder,
        *,
        agent: str = "human",
        seed: int = 0,
        limit: int = 15,
    ) -> None:
        self.lock = RLock()
        self.env_id = env_id
        self.recorder = recorder
        self.limit = limit
        self._make, self._agent, self._seed = make, agent, seed
        self._clerk = make()  # draws tasks and reads their instructions; not played
        self._clerk.reset(seed=seed, options={"task_index": 0})
        inner = self._clerk.unwrapped
        assert isinstance(inner, TextEnv)
        self.tasks = inner.tasks
        self._inside: dict[str, Customer] = {}

    def find(self, name: str) -> Customer | None:
        """Return a visitor who is, or was, in the shop."""
        return self._inside.get(name)

    def task(self, wanted: str) -> Task | None:
        """Return a task by its id or by the number of its goal; None if this shop has no such task."""
        number = wanted.rpartition("/")[2]
        if not (number.isascii() and number.isdecimal() and len(number) < 12):
            return None
        at = bisect_left(self.tasks, int(number), key=_goal)  # there may be millions, in the order of their goals
        found = self.tasks[at] if at < len(self.tasks) else None
        return found if found and _goal(found) == int(number) and wanted in (number, found.id) else None

    def any_task(self) -> Task:
        """Return one that has not been played yet, in an order drawn from the seed; if all have, any."""
        for _ in self.tasks:
            _, info = self._clerk.reset()
            if info["task_id"] not in self.recorder.best:
                break
        found = self.task(info["task_id"])
        assert found is not None
        return found

    def offers(self, start: int, count: int) -> list[Offer]:
        """Return a part of the list of tasks."""
        found = []
        for index in range(start, min(start + count, len(self.tasks))):
            _, info = self._clerk.reset(options={"task_index": index})
            task = self.tasks[index]
            found.append(Offer(task, info["goal"], self.recorder.best.get(task.id)))
        return found

    def enter(self, task: Task, name: str = "") -> Customer:
        """Admit a visitor; an earlier one of the same name leaves.

        Args:
            task: The task.
            name: The name in the URLs; drawn if empty.

        Raises:
            CorruptDataError, EngineError: The task cannot be started.
        """
        name = name or secrets.token_hex(5)
        customer = Customer(name, self._make(), task)
        if name in self._inside:
            self.leave(self._inside.pop(name))
        while len(self._inside) >= _MOST:
            idlest = min(self._inside.values(), key=lambda other: other.last)
            self.leave(self._inside.pop(idlest.name))
        self._inside[name] = customer
        return customer

    def act(self, customer: Customer, action: str) -> None:
        """Let a visitor do something; a visit that ends by it is saved."""
        going_on = not customer.stop
        customer.act(action)
        if going_on and customer.stop:
            self._save(customer)

    def leave(self, customer: Customer) -> None:
        """Let a visitor go; a visit in which something was done is saved."""
        if not customer.stop:
            customer.leave()
            self._save(customer)

    def close(self) -> None:
        """Close the shop: everybody leaves."""
        with self.lock:
            for customer in self._inside.values():
                self.leave(customer)
            self._inside.clear()
            self._clerk.close()
            self.recorder.close()

    def _save(self, customer: Customer) -> None:
        if customer.turns:
            customer.file = self.recorder.keep(customer.episode(self.env_id, self._agent, self._seed))
        customer.close()


def _goal(task: Task) -> int:
    return int(task.payload["goal"])


def _engine(env: gym.Env[str, str]) -> WebShopEngine:
    inner = env.unwrapped
    assert isinstance(inner, TextEnv)
    assert isinstance(inner.engine, WebShopEngine)
    return inner.engine
