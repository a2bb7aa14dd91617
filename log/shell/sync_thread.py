"""One thread that does what blocks, one thing after another, for an event loop that never waits for it.

anyio's worker threads would do as well, but going there and back costs 0.2 ms with them and 0.08 ms here
(a thread of our own waits on a queue, and wakes the loop by a callback instead of a task). An `fdatasync`
takes 0.3 ms, and whoever produces a single record waits for all of it.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeAlias

import anyio.lowlevel

Soon: TypeAlias = Callable[..., Any]
"""Has a function called with arguments, soon, on an event loop."""

_Job: TypeAlias = tuple[Callable[[], None], Callable[[Exception | None], None], Soon]


class SyncThread:
    """A thread that begins when it is first needed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, act: Callable[[], None], ended: Callable[[Exception | None], None]) -> None:
        """Let the thread do this, then have the running loop call `ended` with what it has raised."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        self._jobs.put((act, ended, soon_from_threads()))

    def close(self) -> None:
        """Let the thread end when it has done what it was given."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            act, ended, soon = job
            error: Exception | None = None
            try:
                act()
            except Exception as failed:  # noqa: BLE001 - handed to who has asked for it
                error = failed
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                soon(ended, error)


def soon_on_loop() -> Soon:
    """Return how the loop that runs here is told, from here, to call something soon."""
    try:
        return asyncio.get_running_loop().call_soon  # known in callbacks, too
    except RuntimeError:
        return _soon_on_trio()


def soon_from_threads() -> Soon:
    """Return how the loop that runs here is told, from any thread, to call something soon."""
    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        return _soon_on_trio()


def _soon_on_trio() -> Soon:
    token: Any = anyio.lowlevel.current_token().native_token
    soon: Soon = token.run_sync_soon
    return soon
