"""The error tree: every error that act-gym raises on purpose.

```
ActGymError
├── UsageError               an invalid argument or call
│   └── UnknownNameError     an unknown name; the message suggests similar ones
├── MissingDependencyError   a package or a program is not installed; names the install command
├── DataError                benchmark data
│   ├── MissingDataError     not downloaded yet; names the download command
│   ├── CorruptDataError     present, but its content is wrong
│   └── DownloadError        a failed download; the part received is kept for the next try
├── EngineError              a simulator failed; ends one episode
│   ├── UnsupportedGameError a game with a feature that this engine lacks; names an engine that has it
│   └── DeadEndError         a planner proved that the goal can no longer be reached
├── AgentError               an agent or its model failed; ends one episode
├── AgentUnavailableError    an agent that cannot answer any more, e.g. a dead server; ends the run
└── RunError                 a run folder that cannot be read, continued or merged
    └── FailedEpisodesError  episodes ended with errors, so the numbers are not a measurement
```

A message says what happened with the value, what was expected, and the next command to run.

Every class can be constructed from the message alone, because pickling and Gymnasium's asynchronous vector environments
pass errors between processes that way.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from traceback import extract_tb

from act_gym.paths import install_command

__all__ = [
    "ActGymError",
    "AgentError",
    "AgentUnavailableError",
    "CorruptDataError",
    "DataError",
    "DeadEndError",
    "DownloadError",
    "EngineError",
    "FailedEpisodesError",
    "MissingDataError",
    "MissingDependencyError",
    "RunError",
    "UnknownNameError",
    "UnsupportedGameError",
    "UsageError",
]


_LONGEST = 100  # characters of a caller's value in a message


def shortened(value: object) -> str:
    """Return a value for a message: a string as it is, anything else as its `repr`; long ones are cut."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … ({len(text):,} characters)"


class ActGymError(Exception):
    """Base class of every error that act-gym raises on purpose."""

    exit_status = 1
    """Exit status of a command that ends with this error."""


class UsageError(ActGymError, ValueError):
    """Invalid argument or call."""

    exit_status = 2


class UnknownNameError(UsageError):
    """Unknown name. The message suggests similar names, or lists all if they are few."""

    def __init__(self, kind: str, name: str | None = None, known: Iterable[str] = ()) -> None:
        self.name = name
        if name is None:
            super().__init__(kind)
            return
        names = sorted(known)
        near = get_close_matches(name, names, n=3, cutoff=0.5) if len(name) <= _LONGEST else []
        if near:
            hint = f" Did you mean {' or '.join(near)}?"
        elif len(names) <= 12:
            hint = f" Expected one of: {', '.join(names)}."
        else:
            hint = f" There are {len(names)}, from {names[0]} to {names[-1]}."
        super().__init__(f"No {kind} {shortened(name)}.{hint}")


class MissingDependencyError(ActGymError, ImportError):
    """Missing package or program; `command` is the install command where no extra installs it."""

    def __init__(self, what: str, extra: str = "", *, command: str = "") -> None:
        self.what = what
        self.extra = extra
        cure = command or (install_command(extra) if extra else "")
        super().__init__(f"{what} is not installed. Run: {cure}" if cure else what)


class DataError(ActGymError):
    """Missing, corrupt or unreachable benchmark data."""


class MissingDataError(DataError, FileNotFoundError):
    """Benchmark data that has not been downloaded."""


class CorruptDataError(DataError):
    """Benchmark data whose content is wrong."""


class DownloadError(DataError):
    """Failed download."""


class EngineError(ActGymError):
    """Failure of a simulator; ends its own episode only."""


class UnsupportedGameError(EngineError):
    """Game with a feature that this engine does not support; the message names an engine that does."""


class DeadEndError(EngineError):
    """State from which the goal can no longer be reached, as a planner proved."""


class AgentError(ActGymError):
    """Failure of an agent or its model; ends its own episode only."""


class AgentUnavailableError(ActGymError):
    """Agent that cannot answer any more, e.g. its server is down. Stops the run, which can be resumed."""


class RunError(ActGymError):
    """Run folder that cannot be read, continued or merged."""


class FailedEpisodesError(RunError):
    """Episodes ended with errors of an agent, a server or a simulator, so the numbers are not a measurement."""

    exit_status = 3


def one_line(error: BaseException) -> str:
    """Return type, message and location of an error in a user's code, e.g. `KeyError: 'x' (my.py:7)`."""
    frames = extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"
