"""The Java process of ScienceWorld and the talk with it.

One process serves all engines of a Python process: it needs about 100 MB idle and starts in half a
second, sixteen of them need gigabytes. It listens on the loopback interface only, asks for a secret
that nobody else is told, and ends with this process, whichever way that ends. A forked child has
nothing to do with its parent's Java; it starts its own when it needs one.

What the simulator means is not known here; see `world`.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from act_gym.engines.java import Java, find_java
from act_gym.engines.scienceworld.shared import Globals
from act_gym.errors import EngineError, MissingDependencyError

__all__ = ["Jvm", "jar_path", "shared_jvm"]

CALL_SECONDS = 120.0
"""How long one call may take. The slowest known one, a solution of a genetics task, takes 7 s."""

# Without hashCode=2 the order of objects in a room follows their addresses and differs from run to run.
_OPTIONS = ("-XX:+UseSerialGC", "-XX:+UnlockExperimentalVMOptions", "-XX:hashCode=2")

_ERRORS = "errors.txt"

_jvms: dict[tuple[str, str], Jvm] = {}
_jvms_lock = threading.Lock()


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
        EngineError: It does not start.
        MissingDependencyError: The package or Java is not installed.
    """
    with _jvms_lock:
        jvm = _jvms.get((memory, simplifications))
        if jvm is None or not jvm.alive:
            jvm = _jvms[memory, simplifications] = Jvm(memory)
        return jvm


class Jvm:
    """A Java process. All calls go through `calling`, one at a time.

    Args:
        memory: The largest heap, as Java's `-Xmx` takes it, e.g. `1g`.
    """

    def __init__(self, memory: str) -> None:
        jar = jar_path()
        self.java: Java = find_java()
        self.lock = threading.RLock()
        self._fault = ""
        self._discarded: deque[Any] = deque()
        # The simulator writes a file into its working folder and dies where it may not.
        self._folder = Path(tempfile.mkdtemp(prefix="act-gym-scienceworld-"))
        self._process = _launch(self.java, jar, memory, self._folder)
        self._gateway: Any = None
        try:
            self._gateway = _connect(self._process)
            with self.calling("the start"):
                self._settle()
                self.globals = Globals(self.classes)
        except BaseException as cause:
            self._end(f"did not answer after its start: {cause}{_last_words(self._folder)}")
            if isinstance(cause, EngineError | KeyboardInterrupt):
                raise
            raise EngineError(f"ScienceWorld's Java {self._fault}") from cause

    @property
    def alive(self) -> bool:
        """Whether calls can be made."""
        return not self._fault

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def classes(self) -> Any:
        """The root of all Java packages, for use inside `calling`."""
        return self._gateway.jvm

    @contextlib.contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """Keep the process to oneself, and turn what goes wrong with it into errors.

        An exception inside Java leaves it running. Anything else (no answer in time, a closed
        connection, Ctrl-C between question and answer) ends it: the next answer could belong to the
        question before.

        Raises:
            EngineError: Java ended, was slow, or threw an exception.
        """
        from py4j.protocol import Py4JError, Py4JJavaError

        with self.lock:
            if self._fault:
                raise EngineError(f"ScienceWorld's Java {self._fault} Reset the environment to start another.")
            try:
                yield
            except Py4JJavaError as cause:
                raise EngineError(f"ScienceWorld failed in {what}: {self._thrown(cause)}") from cause
            except (Py4JError, OSError) as cause:
                self._end(self._why(what, cause))
                raise EngineError(f"ScienceWorld's Java {self._fault}") from cause
            except EngineError:
                raise
            except BaseException:
                self._end(f"was stopped during {what}.")
                raise

    def discard(self, java_object: Any) -> None:
        """Note an object that Java may forget. Says nothing to Java, so any moment and thread will do."""
        self._discarded.append(java_object)

    def sweep(self) -> None:
        """Let Java forget what has been discarded."""
        if self.alive:
            with self.calling("clearing up"):
                while self._discarded:
                    self._gateway.detach(self._discarded.popleft())

    def close(self) -> None:
        """End the process. Closing twice is harmless."""
        with self.lock:
            self._end("has been closed.")

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

    def _thrown(self, cause: Any) -> str:
        """Say what Java threw. After running out of memory, no world in it can be trusted."""
        try:
            thrown = str(cause.java_exception).partition("\n")[0]
        except Exception as error:
            thrown = f"an exception that it could not tell ({error})"
            self._end(f"threw {thrown}.")
        if "OutOfMemoryError" in thrown:
            self._end("ran out of memory; make the environment with more, e.g. memory='2g'.")
        return thrown

    def _why(self, what: str, cause: BaseException) -> str:
        inner = getattr(cause, "cause", None)
        if isinstance(cause, TimeoutError) or isinstance(inner, TimeoutError):
            return f"gave no answer to {what} in {CALL_SECONDS:.0f} s and was ended."
        with contextlib.suppress(subprocess.TimeoutExpired):
            return f"ended during {what} (exit status {self._process.wait(timeout=5)}{_last_words(self._folder)})."
        return f"broke off the connection during {what} ({inner or cause})."

    def _end(self, fault: str) -> None:
        if self._fault:
            return
        self._fault = fault
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._release_files()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _release_files(self) -> None:
        if self._gateway is not None:
            self._gateway._gateway_client.hang_up()
        for file in (self._process.stdin, self._process.stdout):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()


def _launch(java: Java, jar: Path, memory: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start py4j's server with the simulator beside it; it ends when our end of its input closes."""
    from py4j.java_gateway import find_jar_path

    command = [str(java.path), f"-Xmx{memory}", *_OPTIONS, "-classpath", os.pathsep.join((find_jar_path(), str(jar)))]
    command += ["py4j.GatewayServer", "--die-on-broken-pipe", "--enable-auth", "0"]
    try:
        with (folder / _ERRORS).open("wb") as errors:
            # A process group of its own, so that Ctrl-C reaches us and not Java.
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, cwd=folder, process_group=0
            )
    except OSError as cause:
        shutil.rmtree(folder, ignore_errors=True)
        raise EngineError(f"Cannot start {java.path}: {cause.strerror or cause}.") from cause


def _connect(process: subprocess.Popen[bytes]) -> Any:
    from py4j.java_gateway import GatewayParameters, JavaGateway

    assert process.stdout is not None
    port, secret = process.stdout.readline().strip(), process.stdout.readline().strip()
    if not port.isdigit() or not secret:
        said = b" ".join((port, secret, *process.stdout.read(500).split())).decode("utf-8", "replace").strip()
        raise ConnectionError(f"it printed {said!r} where its port was expected.")
    parameters = GatewayParameters(
        port=int(port),
        auth_token=secret.decode("ascii"),
        read_timeout=CALL_SECONDS,
        # Off: finalizers would send from any thread at any time, in forked children too.
        enable_memory_management=False,
    )
    gateway = JavaGateway(gateway_parameters=parameters)
    gateway.set_gateway_client(_client(parameters))
    return gateway


def _last_words(folder: Path) -> str:
    with contextlib.suppress(OSError):
        text = (folder / _ERRORS).read_bytes()[-2000:].decode("utf-8", "replace").strip()
        return f": {text}" if text else ""
    return ""


class _QuickAck(io.RawIOBase):
    """Reads a socket and acknowledges at once.

    A long answer comes in pieces, and the sender holds back the last one until the others are
    acknowledged, which Linux puts off for 40 ms. The option wears off, hence again after every read.
    """

    _OPTION = getattr(socket, "TCP_QUICKACK", None)

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._connection.recv_into(buffer)
        if self._OPTION is not None:
            self._connection.setsockopt(socket.IPPROTO_TCP, self._OPTION, 1)
        return count


def _client(parameters: Any) -> Any:
    """Return py4j's client with three differences.

    It acknowledges at once, it never sends a command again (a step done twice is a wrong episode)
    nor uses a connection that failed (an answer may still come), and it leaves the root logger alone.
    """
    from py4j.java_gateway import GatewayClient, GatewayConnection
    from py4j.protocol import Py4JNetworkError

    class Client(GatewayClient):  # type: ignore[misc]
        connection: Any = None
        lost = False

        def send_command(self, command: str, retry: bool = True, binary: bool = False) -> Any:  # noqa: ARG002
            if self.lost:
                raise Py4JNetworkError("The connection has failed before.")
            self.lost = True  # until the answer is here
            if self.connection is None:
                self.connection = GatewayConnection(self.gateway_parameters, self.gateway_property)
                self.connection.start()
                self.connection.stream = io.BufferedReader(_QuickAck(self.connection.socket), 65_536)
            answer = self.connection.send_command(command)
            self.lost = False
            return answer

        def hang_up(self) -> None:
            """Close our end only; shutting the connection down would end it for a parent too."""
            if self.connection is not None:
                self.connection.wr = None
                self.connection.stream.close()
                self.connection.socket.close()
                self.connection = None

    return Client(gateway_parameters=parameters)


def _forget_parents() -> None:
    """Run in every forked child."""
    global _jvms_lock
    _jvms_lock = threading.Lock()
    for jvm in _jvms.values():
        jvm.abandon()
    _jvms.clear()


def _close_all() -> None:
    for jvm in _jvms.values():
        jvm.close()
    _jvms.clear()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parents)
