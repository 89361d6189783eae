"""Ctrl-C that ends a process at once, in the middle of a step too.

Python handles a signal between two of its own instructions, and a backward pass is one of them: it may take minutes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

__all__ = ["stopped_at_once"]


@contextlib.contextmanager
def stopped_at_once(folder: Path) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end this process at once, with exit status 130 or 143; `folder` is removed first.

    Only for work of which nothing is kept. Outside the main thread, where Python allows no handlers, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def wait() -> None:
        received = reader.recv(1)  # the number of a signal, or nothing when the block has ended
        if received:
            with contextlib.suppress(OSError):
                os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"\nStopped. Nothing was kept.\n")
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(128 + received[0])

    watcher = threading.Thread(target=wait, daemon=True)
    # The C handler writes the number at once; Python's own, which would come later, has nothing left to do.
    handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    descriptor = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        writer.close()
        watcher.join()
        reader.close()
