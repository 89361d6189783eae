"""The Java process of ScienceWorld: start, calls, and end.

One process serves all engines of a Python process: it needs about 100 MB idle and starts in half a second; sixteen of
them need gigabytes. It listens on the loopback interface only, requires a secret, and ends with this process, however
that ends. A forked child does not use its parent's Java; it starts its own when needed.

`simulator` has the meaning of the calls. The end of the process is an error here; `recovery` continues the episode.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from act_gym.engines.java import Java, find_java
from act_gym.engines.scienceworld.jvm_globals import Globals
from act_gym.engines.scienceworld.py4j_client import connect
from act_gym.errors import EngineError, MissingDependencyError

__all__ = [
    "CALL_SECONDS",
    "JavaEndedError",
    "Jvm",
    "MemoryExhaustedError",
    "jar_path",
    "shared_jvm",
]

CALL_SECONDS = 30.0
"""Default time limit of one call. A step takes milliseconds on an idle machine."""

_START_SECONDS = 30.0

_OPTIONS = (
    "-XX:+UseSerialGC",
    # Without it the order of objects in a room follows their addresses and differs from run to run.
    "-XX:+UnlockExperimentalVMOptions",
    "-XX:hashCode=2",
    # The simulator catches everything that is thrown in a step, and would play on with half a step done.
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:+DisplayVMOutputToStderr",  # its message in that case
)

_ERRORS = "errors.txt"

_jvms: dict[tuple[str, str], Jvm] = {}
_jvms_lock = threading.Lock()
_every_jvm: weakref.WeakSet[Jvm] = weakref.WeakSet()
_launching = threading.Lock()  # held by a fork too: a child born amid a start would keep its pipes open for ever
_leaving = False


class JavaEndedError(EngineError):
    """The process has ended and its tasks are lost; they can be replayed in another one.

    Args:
        message: The reason.
        in_call: Whether it ended during this call, and not before.
    """

    def __init__(self, message: str, *, in_call: bool = False) -> None:
        super().__init__(message)
        self.in_call = in_call


class MemoryExhaustedError(JavaEndedError):
    """It ran out of memory, in the very call that met this error."""


def jar_path() -> Path:
    """Return the simulator's JAR without importing the package.

    Raises:
        MissingDependencyError: The `scienceworld` package or `py4j` is not installed.
    """
    package = find_spec("scienceworld")
    if package is None or not package.submodule_search_locations or find_spec("py4j") is None:
        raise MissingDependencyError("The scienceworld package", "scienceworld")
    return Path(next(iter(package.submodule_search_locations))) / "scienceworld.jar"


def shared_jvm(memory: str, simplifications: str) -> Jvm:
    """Return this process's Java for these settings; start it if there is none, or none alive.

    The simulator keeps its simplifications in a global, so each choice of them has its own process.

    Raises:
        JavaEndedError: It was killed while it started.
        EngineError: It does not start.
        MissingDependencyError: The package or Java is not installed.
    """
    with _jvms_lock:
        jvm = _jvms.get((memory, simplifications))
        if jvm is None or not jvm.alive:
            if jvm is not None:
                jvm.close("has ended.")
            if _leaving:
                raise EngineError("Python is ending, so ScienceWorld's Java is not started again.")
            jvm = _jvms[memory, simplifications] = Jvm(memory)
        return jvm


class Jvm:
    """A Java process. All calls go through `calling`, one at a time.

    Args:
        memory: The largest heap, as Java's `-Xmx` takes it, e.g. `1g`.

    Raises:
        JavaEndedError: It was killed while it started.
        EngineError: It does not start.
        MissingDependencyError: The package or Java is not installed.
    """

    def __init__(self, memory: str) -> None:
        jar = jar_path()
        self.java: Java = find_java()
        self.lock = threading.RLock()
        self._memory = memory
        self._fault = ""
        self._closed = ""
        self._seconds = CALL_SECONDS
        self._discarded: deque[Any] = deque()
        self._gateway: Any = None
        # The simulator writes a file into its working folder and dies where it may not.
        self._folder = Path(tempfile.mkdtemp(prefix="act-gym-scienceworld-"))
        with _launching:
            self._process = _launch(self.java, jar, memory, self._folder)
            _every_jvm.add(self)
        try:
            self._gateway = connect(self._process, _START_SECONDS)
            with self.calling("the start"):
                self._settle()
                self.globals = Globals(self.classes)
                self.join: Any = self.classes.java.lang.String.join  # looked up once: that takes four calls
        except BaseException as cause:
            if isinstance(cause, JavaEndedError | KeyboardInterrupt):
                self._end("was stopped during its start.")
                raise
            status = None if isinstance(cause, TimeoutError) else self._status()
            self._end(f"did not answer after its start: {cause}{_last_words(self._folder)}")
            message = f"ScienceWorld's Java {self._fault}"
            if status is None or status < 0:
                raise JavaEndedError(message, in_call=True) from cause
            raise EngineError(message) from cause

    @property
    def alive(self) -> bool:
        """Whether calls can be made. Waits for a process that has ended, so no zombie remains."""
        return not self._fault and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def classes(self) -> Any:
        """The root of all Java packages, for use inside `calling`."""
        return self._gateway.jvm

    @contextlib.contextmanager
    def calling(self, what: str, seconds: float = CALL_SECONDS) -> Iterator[None]:
        """Lock the process for one caller, and convert its failures to errors.

        An exception inside Java leaves it running. Anything else (no answer in time, a closed connection, Ctrl-C
        between question and answer) ends it: the next answer could belong to the question before.

        Args:
            what: The purpose, as text.
            seconds: The time limit of each answer.

        Raises:
            JavaEndedError: Java has ended, or was killed because it was slow.
            EngineError: Java threw an exception.
        """
        from py4j.protocol import Py4JError, Py4JJavaError

        with self.lock:
            if self._fault:
                raise JavaEndedError(f"ScienceWorld's Java {self._fault}")
            try:
                self._seconds = seconds
                self._gateway._gateway_client.allow(seconds)
                self._sweep()
                yield
            except Py4JJavaError as cause:
                thrown = self._thrown(cause)
                if self._fault:
                    raise JavaEndedError(f"ScienceWorld's Java {self._fault}", in_call=True) from cause
                raise EngineError(f"ScienceWorld failed in {what}: {thrown}") from cause
            except (Py4JError, OSError) as cause:
                raise self._lost(what, cause) from cause
            except EngineError:
                raise
            except BaseException:
                self._end(f"was stopped during {what}.")
                raise

    def discard(self, java_object: Any) -> None:
        """Mark an object that Java may release at the next call.

        Makes no call, so it is safe at any time and in any thread, and never waits for Java.
        """
        self._discarded.append(java_object)

    def close(self, why: str = "has been closed.") -> None:
        """End the process, also in the middle of a call. Closing twice is harmless."""
        self._closed = self._closed or why
        if not self._fault:
            self._process.kill()  # first, so that a thread that waits for an answer releases the lock
        with self.lock:
            self._end(why)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's process without a word to it."""
        self.lock = threading.RLock()
        if not self._fault:
            self._fault = "belongs to the process this one was forked from."
            self._process.returncode = 0  # not ours to wait for
            self._release_files()

    def _settle(self) -> None:
        java = self.classes.java
        # The simulator's chatter goes nowhere; unread, it would fill the pipe and block Java.
        java.lang.System.setOut(java.io.PrintStream(os.devnull))
        # Java sweeps up if this process is gone by then; the last one named is deleted first.
        for path in (self._folder, self._folder / _ERRORS, self._folder / "object_type_ids.tsv"):
            java.io.File(str(path)).deleteOnExit()

    def _sweep(self) -> None:
        while self._discarded:
            self._gateway.detach(self._discarded.popleft())

    def _thrown(self, cause: Any) -> str:
        """Return the message of a Java exception."""
        try:
            return str(cause.java_exception).partition("\n")[0]
        except Exception as error:
            self._end(f"threw an exception that it could not tell ({error}).")
            return ""

    def _lost(self, what: str, cause: BaseException) -> JavaEndedError:
        """End the process after a failed call; return the error that says why it failed."""
        inner = getattr(cause, "cause", None)
        kind = JavaEndedError
        if isinstance(cause, TimeoutError) or isinstance(inner, TimeoutError):
            fault = f"gave no answer to {what} in {self._seconds:g} s and was ended."
        elif (status := self._status()) is None:
            fault = f"broke off the connection during {what} ({inner or cause})."
        elif "OutOfMemoryError" in (words := _last_words(self._folder)):
            kind = MemoryExhaustedError
            more = _twice(self._memory)
            fault = f"ran out of memory in {what}; make the environment with more, e.g. memory={more!r}."
        else:
            fault = f"ended during {what} (exit status {status}{words})."
        self._end(fault)
        return kind(f"ScienceWorld's Java {self._fault}", in_call=True)

    def _status(self) -> int | None:
        """Return the exit status of a process whose connection has ended; None if it does not end."""
        try:
            return self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return None

    def _end(self, fault: str) -> None:
        if self._fault:
            return
        self._fault = self._closed or fault
        self._process.kill()
        self._process.wait()
        self._release_files()
        self._discarded.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _release_files(self) -> None:
        if self._gateway is not None:
            self._gateway._gateway_client.hang_up()
        for file in (self._process.stdin, self._process.stdout):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()


def _launch(java: Java, jar: Path, memory: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start py4j's server with the simulator; it ends when its standard input closes."""
    from py4j.java_gateway import find_jar_path

    command = [str(java.path), f"-Xmx{memory}", *_OPTIONS, "-classpath", os.pathsep.join((find_jar_path(), str(jar)))]
    command += ["py4j.GatewayServer", "--die-on-broken-pipe", "--enable-auth", "0"]
    try:
        with (folder / _ERRORS).open("wb") as errors:
            # A process group of its own, so that Ctrl-C reaches us and not Java.
            pipe = subprocess.PIPE
            return subprocess.Popen(
                command, bufsize=0, stdin=pipe, stdout=pipe, stderr=errors, cwd=folder, process_group=0
            )
    except OSError as cause:
        shutil.rmtree(folder, ignore_errors=True)
        raise EngineError(f"Cannot start {java.path}: {cause.strerror or cause}.") from cause


def _last_words(folder: Path) -> str:
    with contextlib.suppress(OSError):
        text = (folder / _ERRORS).read_bytes()[-2000:].decode("utf-8", "replace").strip()
        return f": {text}" if text else ""
    return ""


def _twice(memory: str) -> str:
    number, unit = re.fullmatch(r"(\d+)(\w?)", memory).groups()  # type: ignore[union-attr]
    return f"{2 * int(number)}{unit}"


def _forget_parents() -> None:
    """Run in every forked child."""
    global _jvms_lock
    _launching.release()
    _jvms_lock = threading.Lock()
    for jvm in list(_every_jvm):
        jvm.abandon()
    _every_jvm.clear()
    _jvms.clear()


def _close_all() -> None:
    """Run when Python ends: wait for no lock that a call, or a start, may hold."""
    global _leaving
    _leaving = True
    for jvm in list(_every_jvm):
        jvm.close()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_launching.acquire, after_in_parent=_launching.release, after_in_child=_forget_parents)
