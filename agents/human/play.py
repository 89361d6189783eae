"""`act-gym play ID`: a person plays an environment in the terminal.

The person sees what an agent sees: observation, score and admissible commands. A game that was played
to its end can be kept as an `Episode`, like any agent's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import tyro

import act_gym  # noqa: F401  registers the environments
from act_gym.benchmarks import parse_id
from act_gym.config import parse, read_settings
from act_gym.errors import UsageError
from agents.human.game import Game
from agents.human.screen import Screen

__all__ = ["Arguments", "main"]


@dataclass(frozen=True)
class Arguments:
    """Play an environment yourself in the terminal."""

    env: tyro.conf.Positional[str] = "act/ScienceWorld-seen"
    """The environment's id; `act-gym list` shows them all."""
    task: str = ""
    """Id of the first task, e.g. scienceworld/boil/3; drawn from the seed if empty."""
    seed: int = 0
    """Which tasks come, and in which order."""
    max_turns: int = 0
    """Step limit; 0 for the benchmark's own."""
    env_options: tuple[str, ...] = ()
    """The environment's own settings as name=value, e.g. `catalogue=generated human_goals=true` for WebShop."""
    save: Path | None = None
    """A file that every finished episode is appended to, as one JSON line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = parse(Arguments, sys.argv[1:] if argv is None else argv, program="act-gym play")
    if arguments.max_turns < 0:
        raise UsageError(f"--max-turns is 0 (the benchmark's own) or more; got {arguments.max_turns}.")
    entry, _ = parse_id(arguments.env)  # a wrong id is refused before a simulator starts
    screen = Screen()
    options = read_settings(arguments.env_options, "--env-options")
    if arguments.max_turns:
        options["max_episode_steps"] = arguments.max_turns
    screen.say(f"Starting {entry.name} …", "dim")  # Java takes seconds
    sys.stdout.flush()
    with closing(gym.make(arguments.env, **options)) as env:
        game = Game(env, screen, arguments.env, seed=arguments.seed, save=arguments.save)
        try:
            game.start(arguments.task)
            for line in _lines(screen, game):
                if not game.take(line):
                    break
        except KeyboardInterrupt:
            screen.say("")
        game.leave()
    return 0


def _lines(screen: Screen, game: Game) -> Iterator[str]:
    """Yield what is typed until the end of input; a line from a pipe is shown too."""
    if sys.stdin.isatty():
        _complete(game)
    while True:
        try:
            line = input("> ")
        except EOFError:
            screen.say("")
            return
        if not sys.stdin.isatty():
            screen.say(line)
        yield line


def _complete(game: Game) -> None:
    """Give `input` line editing, a history of lines, and completion of commands where the platform can."""
    try:
        import readline
    except ImportError:
        return

    def complete(text: str, state: int) -> str | None:
        fitting = [command for command in game.commands if command.startswith(text)]
        return fitting[state] if state < len(fitting) else None

    readline.set_completer_delims("")
    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")


if __name__ == "__main__":
    from act_gym.cli import run

    sys.exit(run(main, sys.argv[1:]))
