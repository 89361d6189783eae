"""Walks through ScienceWorld's tasks, and the traces that they leave."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass

from act_gym.engines.scienceworld import JvmEngine
from act_gym.types import Task


@dataclass(frozen=True)
class Walk:
    """A task and the commands from its start."""

    task: Task
    commands: tuple[str, ...]


def playing(engine: JvmEngine, walk: Walk) -> Iterator[str]:
    """Yield the goal and then a text for every state."""
    state = engine.reset(walk.task)
    yield engine.goal
    yield repr(asdict(state))
    for command in walk.commands:
        yield repr(asdict(engine.step(command)))


def traces(walks: list[Walk], **options: object) -> list[list[str]]:
    """Play walks one after another in one engine."""
    with closing(JvmEngine(**options)) as engine:
        return [list(playing(engine, walk)) for walk in walks]
