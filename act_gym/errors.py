"""Every error this project raises on purpose.

```
ActGymError
├── UsageError               the caller asked for something that cannot be
│   └── UnknownNameError     a name that is not there, with the nearest ones that are
├── MissingDependencyError   a package or a program is not installed; names the cure
├── DataError                benchmark data
│   ├── MissingDataError     not downloaded yet; names the command
│   ├── CorruptDataError     there, but not what it should be
│   └── DownloadError        could not be fetched; what came is kept for the next try
├── EngineError              a simulator failed; ends one episode
│   └── UnsupportedGameError a game holds what this engine does not play; names it and the engine that does
├── AgentError               an agent or its model failed; ends one episode
├── AgentUnavailableError    an agent that can decide nothing any more, such as a dead server; ends the run
└── RunError                 a run folder that cannot be read, continued or joined
    └── FailedEpisodesError  episodes ended with errors, so that their numbers are no measurement
```

A message says what happened with the value, what was expected, and the next command to run.

Every class can be made from a finished message alone: that is how pickling and Gymnasium's
asynchronous vector environments carry an error from one process to another.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from traceback import extract_tb

__all__ = [
    "ActGymError",
    "AgentError",
    "AgentUnavailableError",
    "CorruptDataError",
    "DataError",
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
    """The root of the tree; catch it to catch everything this project raises on purpose."""

    exit_status = 1
    """Of a command that ends with this error."""


class UsageError(ActGymError, ValueError):
    """The caller asked for something that cannot be."""

    exit_status = 2


class UnknownNameError(UsageError):
    """A name that is not there. The message offers the nearest names, or all if they are few."""

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
    """A package or a program is not installed; `command` installs it where no extra does."""

    def __init__(self, what: str, extra: str = "", *, command: str = "") -> None:
        self.what = what
        self.extra = extra
        cure = command or (f"pip install 'act-gym[{extra}]'" if extra else "")
        super().__init__(f"{what} is not installed. Run: {cure}" if cure else what)


class DataError(ActGymError):
    """Something is wrong with a benchmark's data."""


class MissingDataError(DataError, FileNotFoundError):
    """The data is not on this machine yet."""


class CorruptDataError(DataError):
    """The data is there, but not what it should be."""


class DownloadError(DataError):
    """The data could not be fetched."""


class EngineError(ActGymError):
    """A simulator failed. It ends the episode it happened in and no other."""


class UnsupportedGameError(EngineError):
    """A game holds something that this engine does not play. The message names it and the engine that does."""


class AgentError(ActGymError):
    """An agent, or the model behind it, failed. It ends the episode it happened in and no other."""


class AgentUnavailableError(ActGymError):
    """An agent can decide nothing any more: its server is gone, or refuses it. The run stops and can be continued."""


class RunError(ActGymError):
    """A run folder cannot be read, continued or joined."""


class FailedEpisodesError(RunError):
    """Episodes ended with errors of an agent, a server or a simulator, so that their numbers are no measurement."""

    exit_status = 3


def one_line(error: BaseException) -> str:
    """Return the kind, the message and the place of an error in a user's code, e.g. `KeyError: 'x' (my.py:7)`."""
    frames = extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"
