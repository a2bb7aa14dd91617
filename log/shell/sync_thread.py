"""One thread that does what blocks, one thing after another.

anyio's worker threads would do as well, but going there and back costs 0.2 ms with them and 0.08 ms here
(a thread of our own waits on a queue, and wakes the loop without waiting for it). An `fdatasync` takes
0.3 ms, and whoever produces a single record waits for all of it.
"""

import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import anyio
import anyio.lowlevel


class SyncThread:
    """A thread that begins when it is first needed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._acts: SimpleQueue[_Act | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, act: Callable[[], None]) -> None:
        """Let the thread do this, and wait for it, whatever is cancelled meanwhile.

        Raises:
            Exception: what `act` raises.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        one = _Act(act)
        self._acts.put(one)
        with anyio.CancelScope(shield=True):
            await one.done.wait()
        if one.error is not None:
            raise one.error

    def close(self) -> None:
        """Let the thread end when it has done what it was given."""
        self._acts.put(None)

    def _work(self) -> None:
        while (one := self._acts.get()) is not None:
            one.do()


class _Act:
    """Something to be done, and who is to be woken on which loop."""

    __slots__ = ("_act", "_soon", "done", "error")

    def __init__(self, act: Callable[[], None]) -> None:
        loop: Any = anyio.lowlevel.current_token().native_token
        self._soon: Callable[..., Any] = (
            getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon  # asyncio or trio
        )
        self._act = act
        self.done = anyio.Event()
        self.error: BaseException | None = None

    def do(self) -> None:
        try:
            self._act()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self.error = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._soon(self.done.set)
