"""From what an agent sees to what a language model is asked; the same for local and remote models."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

from act_gym.agent import View
from act_gym.errors import UsageError
from agents.formats import Format, find_format
from agents.prompts import Message, state_text

__all__ = ["Question", "view_seed"]

_EXAMPLE = (
    "Here is another task of this kind and how it was solved.\n\n{example}\n\nNow comes your own task.\n\n{state}"
)


@dataclass(frozen=True, kw_only=True)
class Question:
    """How a model is asked for the next action.

    Attributes:
        format: A name in `agents.formats.FORMATS`.
        thinking: Whether the model is asked to reason first, where the format leaves it open.
        window: Recent turns that are shown.
        list_commands: Admissible commands listed at most; 0 lists none.
        max_characters: Each observation is cut to this length; a page's buttons stay (`agents.shortening`).
        example: Whether an expert's episode of another task of this kind stands in front.
    """

    format: str = "tags"
    thinking: bool = False
    window: int = 3
    list_commands: int = 0
    max_characters: int = 1200
    example: bool = False

    def __post_init__(self) -> None:
        """Refuse what does not fit.

        Raises:
            UsageError: A number is too small, or there is no such format.
        """
        find_format(self.format)
        if min(self.window, self.list_commands) < 0 or self.max_characters < 1:
            raise UsageError("window and list_commands are 0 or more, and max_characters is at least 1.")

    @property
    def reply(self) -> Format:
        """The format in which the model replies."""
        return find_format(self.format)

    def messages(self, view: View) -> list[Message]:
        """Ask about a view.

        Raises:
            AgentError: There is to be an example, and none can be had.
        """
        state = state_text(
            view.goal,
            view.observation,
            view.history,
            view.admissible_commands,
            window=self.window,
            list_commands=self.list_commands,
            max_characters=self.max_characters,
        )
        if self.example:
            from agents.examples import example_for

            example = example_for(view.task, self.format, self.max_characters, env_options=view.env_options)
            state = _EXAMPLE.format(example=example, state=state)
        return self.reply.ask(state, self.thinking)


def view_seed(view: View) -> int:
    """Return a number that depends on the episode's seed, the task and the turn, and on nothing else."""
    return crc32(f"{view.seed} {view.task.id} {len(view.history)}".encode())
