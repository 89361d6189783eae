"""Graceful stop: ends a training at SIGINT or SIGTERM after the step in progress, with a state saved."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import TrainerCallback

from trainers.run import distributed
from trainers.run.logging import note

__all__ = ["StopCallback"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopCallback(TrainerCallback):
    """Callback that ends a training after the optimizer step in which a signal arrives, and saves a state there.

    A second signal ends it at once. All processes of a training stop at the same step, whichever got the signal.

    Args:
        every: States are saved at multiples of so many steps.
    """

    def __init__(self, every: int = 1) -> None:
        self.every = every
        self.signal = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 (theirs)
        """Request a saved state and the end of the training, if a signal has arrived."""
        if state.global_step % self.every == 0:
            self.signal = distributed.largest(self.signal)
            if self.signal and state.global_step < state.max_steps:
                control.should_save = control.should_training_stop = True

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals while a training runs; only a program's main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        taken = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
        for number in taken:
            signal.signal(number, self._heard)
        try:
            yield
        finally:
            for number in taken:
                signal.signal(number, before[number])

    def _heard(self, number: int, _: Any) -> None:
        if self.signal:
            _end(number)
        self.signal = number
        if distributed.is_first():
            # Not through sys.stderr: the signal may have interrupted a write to it.
            os.write(2, b"\nStopping after this step, with a state saved. The same once more stops at once.\n")

    def finish(self, state: Any) -> None:
        """End the program if a signal has ended the training; else do nothing.

        Args:
            state: The trainer's state.

        Raises:
            KeyboardInterrupt: The signal was SIGINT.
            SystemExit: It was SIGTERM; the status is 143.
        """
        if not self.signal or state.global_step >= state.max_steps:
            return
        note(f"Stopped after step {state.global_step} of {state.max_steps}; its state is saved.")
        _end(self.signal)


def _end(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    if distributed.is_first():
        sys.stderr.write("Ended by SIGTERM. Continue with --resume.\n")
    raise SystemExit(128 + number)
