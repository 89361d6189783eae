"""Concurrent requests of several episodes.

One event loop in its own thread sends them; answers are returned in the order of arrival. The agent supplies the
functions that build a request and parse an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from act_gym.agent import AgentAction, AgentInput
from act_gym.errors import AgentError, AgentUnavailableError
from agents.openai.client import Endpoint

__all__ = ["Conversations"]

T = TypeVar("T")
Request = Mapping[str, Any]


class Conversations:
    """Stream of requests to a server; see `act_gym.agent.Stream`.

    Args:
        connect: Opens the connection; called in the event loop.
        request: Builds the request of an input; called in the thread of `ask`.
        decide: Sends the request and parses the answer.
    """

    def __init__(
        self,
        connect: Callable[[], Endpoint],
        request: Callable[[AgentInput], Request],
        decide: Callable[[Endpoint, Request], Awaitable[AgentAction]],
    ) -> None:
        self._connect = connect
        self._request = request
        self._decide = decide
        self._done: SimpleQueue[tuple[int, Future[AgentAction]]] = SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="chat", daemon=True)
        self._thread.start()
        try:
            self._endpoint = self._wait(self._open())
        except BaseException:
            self._end()
            raise

    def ask(self, number: int, view: AgentInput) -> None:
        """Send the request of an episode's input."""
        # Built here and not in the other thread: listing commands may call the simulator.
        try:
            request = self._request(view)
        except AgentError as error:
            failed: Future[AgentAction] = Future()
            failed.set_exception(error)
            self._done.put((number, failed))
            return
        future = asyncio.run_coroutine_threadsafe(self._send(request), self._loop)
        future.add_done_callback(lambda done: self._done.put((number, done)))

    def answers(self) -> list[tuple[int, AgentAction | AgentError]]:
        """Wait for an answer and return all that have arrived.

        Raises:
            AgentUnavailableError: No further request will be answered; all earlier answers have been returned.
        """
        found = [self._done.get()]
        try:
            while True:
                found.append(self._done.get_nowait())
        except Empty:
            pass
        last = [one for one in found if isinstance(one[1].exception(), AgentUnavailableError)]
        answered = [one for one in found if one not in last] or last
        for one in last if answered is not last else ():
            self._done.put(one)
        return [(number, self._answer(future)) for number, future in answered]

    def close(self) -> None:
        """Cancel open requests and close all connections."""
        if self._loop.is_closed():
            return
        try:
            self._wait(self._shut())
        finally:
            self._end()

    def _answer(self, future: Future[AgentAction]) -> AgentAction | AgentError:
        try:
            return future.result()
        except AgentError as error:
            return error

    async def _open(self) -> Endpoint:
        return self._connect()

    async def _send(self, request: Request) -> AgentAction:
        return await self._decide(self._endpoint, request)

    async def _shut(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._endpoint.close()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
