"""Crash recovery by replay: restarts a dead JVM and replays the episode. Also implements snapshots.

The simulator is deterministic, so an episode is its task and its commands, which are kept with a digest of each
observation. If the process is killed, times out or runs out of memory, another one is started, the commands are
replayed with their digests checked, and then the interrupted command is executed. Restoring an earlier state works the
same way.

It costs a load (0.1 s) and a step (1 to 10 ms) for every command so far, after half a second for a new process. A step
is stored as its command and eight bytes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from act_gym.engines.scienceworld.jvm import CALL_SECONDS, JavaEndedError, Jvm, MemoryExhaustedError, shared_jvm
from act_gym.engines.scienceworld.simulator import World
from act_gym.errors import EngineError, UsageError

__all__ = ["TRIES", "RecoverableSession", "ReplayLog", "StateRef", "with_retries"]

TRIES = 3
"""How often something is done before its process's end is taken for its own fault: once and twice again."""

_ENDS = 10 * TRIES  # the same with the ends in other people's calls, which may be many

_DIGEST_BYTES = 8

_exhaustions: Counter[Pool] = Counter()

T = TypeVar("T")

Pool = tuple[str, str]
"""Arguments of `shared_jvm`: the largest heap and the simplifications."""

Move = tuple[str, bytes]
"""A command and the digest of what it showed."""


@dataclass(frozen=True, slots=True)
class ReplayLog:
    """Commands that lead to a state, with digests of the observations.

    Attributes:
        task: The simulator's name of the task.
        variation: The variation.
        simplifications: The simplifications.
        start: Digest of the task's instruction.
        moves: All commands since the task was loaded.
    """

    task: str
    variation: int
    simplifications: str
    start: bytes
    moves: tuple[Move, ...]


@dataclass(frozen=True, slots=True, eq=False)
class StateRef:
    """Reference to a state: a position in its episode's log, which may have grown since; of constant size.

    Attributes:
        task: The simulator's name of the task.
        variation: The variation.
        start: Digest of the task's instruction.
        simplifications: The simplifications.
        moves: The log, which only grows.
        count: The number of its moves that lead here.
    """

    task: str
    variation: int
    start: bytes
    simplifications: str
    moves: list[Move]
    count: int

    def trail(self) -> ReplayLog:
        """Return the way here by itself."""
        return ReplayLog(self.task, self.variation, self.simplifications, self.start, tuple(self.moves[: self.count]))


def with_retries(pool: Pool, do: Callable[[], T]) -> T:
    """Do something that needs a Java process; do it again if that ends meanwhile.

    A process whose tasks do not fit its memory together would be started again for ever, each time with
    all of them played again. So once memory has run out `TRIES` times in a pool, the next time counts at once.

    Args:
        pool: Whose processes it uses.
        do: Finds its process by `shared_jvm`, so that it has a living one each time.

    Raises:
        EngineError: The simulator failed, or its process ended `TRIES` times.
    """
    own = 0
    for left in reversed(range(_ENDS)):
        try:
            return do()
        except JavaEndedError as cause:
            own += cause.in_call
            if isinstance(cause, MemoryExhaustedError):
                _exhaustions[pool] += 1
                if own >= TRIES or _exhaustions[pool] > TRIES:
                    raise EngineError(f"{cause} This was time {_exhaustions[pool]} with these settings.") from cause
            if own >= TRIES or not left:
                raise EngineError(f"{cause} It was tried {_ENDS - left} times.") from cause
    raise AssertionError("the last try returns or raises")


class RecoverableSession:
    """One task being played, in whichever Java process is alive.

    Args:
        memory: The largest Java heap, e.g. `1g`.
        simplifications: As the simulator takes them.
        call_seconds: How long one call may take until its process counts as dead.
    """

    def __init__(self, memory: str, simplifications: str, call_seconds: float = CALL_SECONDS) -> None:
        self._pool = (memory, simplifications)
        self._simplifications = simplifications
        self._seconds = call_seconds
        self._world: World | None = None
        self._origin: tuple[str, int, bytes] | None = None
        self._moves: list[Move] = []

    @property
    def jvm(self) -> Jvm | None:
        """The process that it is in; None before the first `load`, and between two of them."""
        return None if self._world is None else self._world.jvm

    def load(self, task: str, variation: int) -> str:
        """Load a task and return its instruction.

        Raises:
            EngineError: The simulator failed, or lacks the task.
        """
        self._origin, self._moves = None, []

        def loading(world: World, fresh: bool) -> str:  # noqa: ARG001
            world.load(task, variation, self._simplifications)
            return world.goal()

        goal = self._carry_out(loading)
        self._origin = (task, variation, _digest(goal))
        return goal

    def step(self, command: str) -> tuple[str, float, bool]:
        """Return the observation, the simulator's score (−1 to 1) and whether the task is over.

        Raises:
            EngineError: The simulator failed, or its process ends again and again; the episode has ended.
        """

        def stepping(world: World) -> tuple[str, float, bool]:
            seen = world.step(command)
            self._moves.append((command, _digest(*seen)))
            return seen

        try:
            return self.ask(stepping)
        except EngineError:
            self._origin = None
            raise

    def ask(self, question: Callable[[World], T]) -> T:
        """Ask the simulator about the current state.

        Args:
            question: Changes nothing; may be asked more than once.

        Raises:
            EngineError: No task is loaded, the simulator failed, or its process ends again and again.
        """
        place = self.place()

        def asking(world: World, fresh: bool) -> T:
            if fresh:
                _walk(world, place.trail())
            return question(world)

        return self._carry_out(asking)

    def place(self) -> StateRef:
        """Return a reference to the current state.

        Raises:
            EngineError: No task is loaded.
        """
        if self._origin is None:
            raise EngineError("No task is loaded. Reset the environment first.")
        return StateRef(*self._origin, self._simplifications, self._moves, len(self._moves))

    def stands_at(self, place: StateRef) -> bool:
        """Whether the current state is this one."""
        return self._origin is not None and place.moves is self._moves and place.count == len(self._moves)

    def snapshot(self) -> ReplayLog:
        """Return the way to the current state: a few microseconds, and eight bytes a move.

        Raises:
            EngineError: No task is loaded.
        """
        return self.place().trail()

    def restore(self, trail: ReplayLog) -> None:
        """Go back to a state by replay; of the missing commands only, if the current state is on the way.

        Raises:
            UsageError: The state was recorded under other simplifications.
            EngineError: The simulator failed, or an observation differs.
        """
        if trail.simplifications != self._simplifications:
            raise UsageError(
                f"A snapshot with the simplifications {trail.simplifications!r} cannot be restored with "
                f"{self._simplifications!r}. Make the environment with the same ones."
            )
        origin = (trail.task, trail.variation, trail.start)
        known = len(self._moves)
        ahead = self._origin == origin and trail.moves[:known] == tuple(self._moves)
        self._origin = None  # no episode if this fails

        def going(world: World, fresh: bool) -> None:
            _walk(world, trail, known if ahead and not fresh else None)

        self._carry_out(going)
        self._origin, self._moves = origin, list(trail.moves)

    def close(self) -> None:
        """Release the task. Never blocks; a second call does nothing."""
        self._origin = None
        self._drop()

    def _carry_out(self, do: Callable[[World, bool], T]) -> T:
        """Run a function with a living process.

        Args:
            do: Called with a simulator and whether it is new, without a task.
        """

        def attempt() -> T:
            fresh = self._world is None
            world = World(shared_jvm(*self._pool), self._seconds) if fresh else self._world
            assert world is not None
            self._world = None  # its position is unknown until this succeeds
            try:
                done = do(world, fresh)
            except BaseException:
                _leave(world)
                raise
            self._world = world
            return done

        return with_retries(self._pool, attempt)

    def _drop(self) -> None:
        world, self._world = self._world, None
        if world is not None:
            _leave(world)


def _leave(world: World) -> None:
    world.close()
    if not world.jvm.alive:
        world.jvm.close("has ended.")  # so that nothing of it is left


def _walk(world: World, trail: ReplayLog, known: int | None = None) -> None:
    """Replay a log in a simulator.

    Args:
        world: The simulator.
        trail: The log.
        known: The number of moves already made there; None to load the task first.

    Raises:
        EngineError: An observation differs from the log.
    """
    if known is None:
        world.load(trail.task, trail.variation, trail.simplifications)
        _compare(trail, 0, trail.start, _digest(world.goal()))
    for number, (command, expected) in enumerate(trail.moves[known or 0 :], start=1 + (known or 0)):
        _compare(trail, number, expected, _digest(*world.step(command)))


def _compare(trail: ReplayLog, number: int, expected: bytes, found: bytes) -> None:
    if found != expected:
        what = f"command {number} of {len(trail.moves)}, {trail.moves[number - 1][0]!r}," if number else "the goal"
        raise EngineError(
            f"{trail.task}/{trail.variation} was played again and {what} did not show what it showed before. "
            "Reset the environment; if this happens again, please report it with the task and the commands."
        )


def _digest(*seen: object) -> bytes:
    return hashlib.blake2b(repr(seen).encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()
