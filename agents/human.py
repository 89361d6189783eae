"""Human agent: `act-gym play ID`, play an environment in the terminal.

The screen shows the agent's input: observation, score and admissible commands. A finished game can be saved as an
`Episode`, like any agent's.
"""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path
from typing import Any

import gymnasium as gym
import tyro
from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

import act_gym  # noqa: F401  registers the environments
from act_gym.agent import AgentAction
from act_gym.benchmarks import parse_id
from act_gym.config import parse, read_settings
from act_gym.engine import LazyTuple, observing
from act_gym.env import TextEnv
from act_gym.errors import EngineError, UsageError
from act_gym.io.jsonl import RecordWriter
from act_gym.types import Episode, Turn
from agents.placeholders import fill, fits_a_form, has_blank

__all__ = ["FEW", "HELP", "Game", "PlayConfig", "Screen", "clean", "main", "matching"]


_PAGE = 40
FEW = 60
"""Up to so many commands are listed at the start and by `?`; of more, the verbs."""
_SEPARATOR = " [SEP] "  # between the texts of a page in WebShop's observations
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]P^_X].*?(?:\x07|\x1b\\)|.)", re.DOTALL)

HELP = """\
Type a command, or the number of one.
  ?word     list the commands with a word that begins like this; ? alone lists all, or their verbs
  +         more of the last list
  :hint     the expert's next command (the saved episode is marked)
  :undo     undo the last action: the task restarts and the other actions are replayed
  :history  the actions so far
  :task     show the task again
  :new      another task
  :quit     stop; so do Ctrl-D and Ctrl-C
Tab completes commands, the arrow keys bring earlier lines back."""


class Screen:
    """Prints a running game.

    Args:
        console: The output; None for standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(markup=False, emoji=False, highlight=False)
        self._listed: list[tuple[int, str]] = []

    @property
    def interactive(self) -> bool:
        """Whether the output is a terminal."""
        return bool(self.console.is_terminal)

    def say(self, text: str, style: str = "") -> None:
        """Print a text."""
        self.console.print(Text(clean(text), style=style), soft_wrap=not self.interactive)

    def goal(self, text: str, task_id: str, task_type: str) -> None:
        """Print the task."""
        title = f"{task_id} ({task_type})"
        if self.interactive:
            body = Text(clean(text).strip())
            self.console.print(Panel(body, title=Text(clean(title)), title_align="left", border_style="cyan"))
        else:
            self.say(f"Task {title}: {text.strip()}")

    def state(self, observation: str, info: dict[str, Any], limit: int | None) -> None:
        """Print an observation and a line of figures; the texts of one of WebShop's pages get a line each."""
        self.say("")
        if not info["action_valid"]:
            self.say("(not understood)", "red")
        self.say(observation.replace(_SEPARATOR, "\n").strip())
        commands = info["admissible_commands"]
        of = f" of {limit}" if limit else ""
        self.say("")
        listed = f" · {len(commands):,} commands, ? lists them" if commands else ""
        self.say(f"turn {info['turn']}{of} · score {info['score']:.2f}{listed}", "dim")

    def commands(self, commands: Sequence[str], numbers: Sequence[int] | None = None) -> None:
        """List commands with their numbers; thousands of them as a table of verbs.

        Args:
            commands: All commands of the state; a command's number is its index here, from 1.
            numbers: Those to list; None for an overview of all.
        """
        if commands and all(command.isdigit() for command in commands):
            self.say(f"Answer with a number: {', '.join(commands)}")
            return
        if numbers is None and len(commands) > FEW:
            verbs = Counter(_verb(command) for command in commands if command.strip())
            self.say("They begin with: " + ", ".join(f"{verb} ({count:,})" for verb, count in sorted(verbs.items())))
            self.say("?word lists those with the word, e.g. ?" + next(iter(sorted(verbs))), "dim")
            return
        chosen = range(1, len(commands) + 1) if numbers is None else numbers
        # Of one verb together; a command keeps its number.
        self._listed = sorted(((number, commands[number - 1]) for number in chosen), key=lambda one: _verb(one[1]))
        if not self._listed:
            self.say("No command has such a word.", "dim")
        self.more()

    def more(self) -> None:
        """Print the next page of the last list."""
        page, self._listed = self._listed[:_PAGE], self._listed[_PAGE:]
        for verb, group in groupby(page, key=lambda one: _verb(one[1])):
            lines = [Text.assemble((f"{number:>5}  ", "cyan"), clean(command)) for number, command in group]
            if self.interactive:
                self.say(verb, "bold")
                self.console.print(Columns(lines, column_first=True, padding=(0, 2)))
            else:
                for line in lines:
                    self.console.print(line, soft_wrap=True)
        if self._listed:
            self.say(f"… and {len(self._listed):,} more: +", "dim")

    def history(self, turns: Sequence[Turn]) -> None:
        """Print the actions so far with the score after each."""
        if not turns:
            self.say("Nothing has been done yet.", "dim")
        for number, turn in enumerate(turns, start=1):
            remark = "" if turn.action_valid else "  (not understood)"
            self.say(f"{number:>4}  {turn.score:.2f}  {turn.action}{remark}")

    def parts(self, parts: Mapping[str, float]) -> None:
        """Print the parts of a reward, if the benchmark reports them."""
        if parts:
            self.say("")
            self.say("Parts of the reward: " + ", ".join(f"{name} {float(part):.2f}" for name, part in parts.items()))

    def end(self, success: bool, score: float, stop: str) -> None:
        """Print the result of an episode."""
        word = "Solved" if success else "Out of turns" if stop == "truncated" else "Over, not solved"
        self.say("")
        self.say(f"{word}. Final score {score:.2f}. :new, :undo or :quit", "bold green" if success else "bold yellow")


def _verb(command: str) -> str:
    """Return what a command begins with: `go` of `go to desk 1`, `click` of `click[buy now]`."""
    return re.split(r"[\s\[]", command.strip(), maxsplit=1)[0]


def clean(text: str) -> str:
    """Return text without control characters, escape sequences and other unprintable characters."""
    plain = _ESCAPES.sub("", text).replace("\t", "    ")
    return "".join(
        letter if letter == "\n" or letter.isprintable() else " " if letter.isspace() else "" for letter in plain
    )


def matching(commands: Sequence[str], words: str) -> list[int]:
    """Return the numbers, from 1, of the commands that have a word with each of these prefixes."""
    wanted = words.lower().split()
    return [
        number
        for number, command in enumerate(commands, start=1)
        if all(any(word.startswith(start) for word in command.lower().split()) for start in wanted)
    ]


class Game:
    """Running game: reads typed lines, prints to the screen.

    Args:
        env: Made with `gym.make`.
        screen: The output.
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
        self.stop = ""  # reason of the episode's end; empty while it runs
        self._finished: Episode | None = None  # written once the last action cannot be undone any more
        self._hinted = False
        self._asked_back = ""  # the last line that was not played but asked about
        self._changing: list[bool] = []  # for each turn, whether it changed the visible state
        self._asked = 0.0
        self._first_seed: int | None = seed
        inner = env.unwrapped
        assert isinstance(inner, TextEnv)
        self._inner = inner

    @property
    def commands(self) -> Sequence[str]:
        """The admissible commands."""
        listed: Sequence[str] = self.info.get("admissible_commands", ())
        return listed

    def start(self, task_id: str = "") -> None:
        """Start a task: the given one, or the next one drawn from the seed."""
        self._write()
        options = {"task_id": task_id} if task_id else None
        self.observation, self.info = self.env.reset(seed=self._first_seed, options=options)
        self._first_seed = None  # the same seed restarts the same order
        self.turns, self.stop, self._hinted, self._changing = [], "", False, []
        self._show_task()
        self._show()
        self.screen.say("Type a command, its number, or :help", "dim")

    def take(self, line: str) -> bool:
        """Act on one typed line; return false to stop."""
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
        """Save finished episodes and print a farewell."""
        if self.save is not None and self.turns and not self.stop:
            self.screen.say("This game is not finished and is not saved.", "dim")
        self._write()
        self.screen.say("Bye.", "dim")

    def _act(self, line: str) -> None:
        if self.stop:
            self.screen.say("This episode is over: :new, :undo or :quit", "yellow")
            return
        action = line
        # ScienceWorld itself asks for a number if a command is ambiguous; then the number is its answer.
        if line.isdecimal() and line not in self.commands:
            if not 1 <= int(line) <= len(self.commands):
                self.screen.say(f"Numbers go from 1 to {len(self.commands):,}.", "red")
                return
            action = self.commands[int(line) - 1]
            if has_blank(action):
                self.screen.say(f"Type it with your own words: {fill(action, '…')}", "yellow")
                return
            self.screen.say(f"> {action}", "bold")
        elif self._doubted(line):
            return
        self._step(action)
        self._show_outcome()

    def _doubted(self, line: str) -> bool:
        """Ask back, once, about a line that nearly is an admissible command, before it takes a turn."""
        asked, self._asked_back = self._asked_back, ""
        commands = self.commands
        # ScienceWorld's list is lazy, and its parser takes more than the list has.
        if isinstance(commands, LazyTuple) or line == asked or line in commands or fits_a_form(line, commands):
            return False
        near = get_close_matches(line.lower(), commands, n=3, cutoff=0.8)
        if near:
            self._asked_back = line
            numbered = ", ".join(f"{commands.index(command) + 1} {command}" for command in near)
            self.screen.say(f"Did you mean: {numbered}? The same line again plays it as it is.", "yellow")
        return bool(near)

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
        played = AgentAction(action=action, response=action)
        self.turns.append(
            played.turn(before, reward, self.info, admissible_commands=commands, seconds=now - self._asked)
        )
        self._asked = now
        self.stop = "terminated" if terminated else "truncated" if truncated else ""

    def _undo(self) -> None:
        """Restart the same task and replay all actions but the last."""
        if not self.turns:
            self.screen.say("There is nothing to undo.", "dim")
            return
        *kept, dropped = self.turns
        self.observation, self.info = self.env.reset(options={"task_id": self.info["task_id"]})
        self.turns, self.stop, self._finished, self._changing = [], "", None, []
        for turn in kept:
            self._step(turn.action)
        self.turns = [replace(new, seconds=old.seconds) for new, old in zip(self.turns, kept, strict=False)]
        number = len(kept)
        self.screen.say(
            f"Undid “{dropped.action}”: started the task again and replayed {number} action{'s' * (number != 1)}.",
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
        """Return the first command of a plan from the current state; empty if the engine cannot plan."""
        try:
            plan = self._inner.plan()
        except UsageError:
            return ""
        return f"The expert's next command: {plan[0]}" if plan else "The task is solved."

    def _on_the_experts_way(self) -> str:
        """Return the next command of the initial solution, after those already done in its order."""
        expert = self._inner.expert_commands()
        done, left = 0, 0
        for number, (turn, changed) in enumerate(zip(self.turns, self._changing, strict=True), start=1):
            if done < len(expert) and turn.action == expert[done]:
                done += 1
            elif changed and not left:
                left = number
        if done == len(expert):
            return "You have done all of the expert's actions."
        if left:
            return f"You left the expert's solution at turn {left}. Its next command: {expert[done]}"
        return f"The expert's next command: {expert[done]}"

    def _seen(self) -> tuple[str, ...]:
        """Return the score and the engine's texts about the state; if they stay equal, an action changed nothing."""
        engine = self._inner.engine
        names: tuple[str, ...] = getattr(engine, "observable", ())
        return (str(self.info.get("score")), *(observing(engine, names).observe(name) for name in names))

    def _show_task(self) -> None:
        self.screen.goal(self.info["goal"], self.info["task_id"], self.info["task_type"])

    def _show(self) -> None:
        limit = self.env.spec.max_episode_steps if self.env.spec is not None else None
        self.screen.state(self.observation, self.info, limit)
        if not self.stop and not self.turns:
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


@dataclass(frozen=True)
class PlayConfig:
    """Play an environment yourself in the terminal."""

    env: tyro.conf.Positional[str] = "act/ScienceWorld-seen"
    """Environment id; see `act-gym list`."""
    task: str = ""
    """Id of the first task, e.g. scienceworld/boil/3; empty: drawn from the seed."""
    seed: int = 0
    """Seed of the order of tasks."""
    max_turns: int = 0
    """Step limit; 0 for the benchmark's default."""
    env_options: tuple[str, ...] = ()
    """Environment options as name=value, e.g. `catalogue=generated human_goals=true` for WebShop."""
    save: Path | None = None
    """File to append every finished episode to, as one JSON line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit status."""
    arguments = parse(PlayConfig, sys.argv[1:] if argv is None else argv, program="act-gym play")
    if arguments.max_turns < 0:
        raise UsageError(f"--max-turns is 0 (the benchmark's own) or more; got {arguments.max_turns}.")
    entry, _ = parse_id(arguments.env)  # refuse a wrong id before a simulator starts
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
    """Yield typed lines until the end of input; echo lines from a pipe."""
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
    """Enable line editing, history and command completion for `input`, if the platform supports it."""
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
