"""A fixed number of threads that do one call after the other, and hand results to the event loop.

As `loop.run_in_executor` does, at half its cost: a delivery passes here, so that counts.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")
_Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class Threads(Generic[Result]):
    """Runs calls in `count` threads, started when needed, which live as long as the process."""

    def __init__(self, count: int, *, name: str) -> None:
        self._count = count
        self._name = name
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._started = 0

    async def run(self, call: Callable[[], Result]) -> Result:
        """Return what `call` returns or raise what it raises, once a thread has run it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._jobs.put((call, loop, future))
        if self._started < self._count:
            self._started += 1
            name = f"{self._name}-{self._started}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
        return await future

    def _work(self) -> None:
        while True:
            call, loop, future = self._jobs.get()
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                loop.call_soon_threadsafe(_fail, future, error)
            else:
                loop.call_soon_threadsafe(_finish, future, result)
            del call, future


def _finish(future: "asyncio.Future[Any]", result: object) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
