"""Runs handlers by callbacks: no task per request.

A handler that has to wait is a generator of what it waits for (`broker/waits.py`). Each is kept in a
`Work`. Whatever it waits for ends by putting the work into a queue, and all that is in the queue goes
on in one turn of the event loop: so nothing goes on inside of another's step, and a thousand requests
that share one sync cost one wake-up.

Only two kinds of waits are rare enough for a task: the right to change what exists, and silence from
the flusher. Both are locks that the embedded log's own tasks hold too.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

import anyio
import anyio.to_thread

from ..broker.node import Node
from ..broker.waits import Aside, Change, Exclusive, Flush, Handling, Promise, Quiet
from ..errors import DiskFailed
from ..storage.partition_log import PartitionLog
from .flusher import Flusher
from .wakeups import Wakeups, Watch

Finish: TypeAlias = Callable[[Any, Exception | None], None]
"""Is given what a handling returned, or what it raised."""

_WAITS: Final = object()
"""Instead of a value that a wait brings: it will come later."""


class Store(Protocol):
    """What the driver needs of the log that handlers work on."""

    flusher: Flusher
    wakeups: Wakeups
    changing: anyio.Lock
    removing: anyio.Lock
    durable_reads: bool


class Work:
    """A handling on its way, and what it waits for."""

    __slots__ = ("ended", "finish", "handling", "has_lock", "touched", "waits_for_others", "watch")

    def __init__(self, handling: Handling[Any], finish: Finish) -> None:
        self.handling = handling
        self.finish = finish
        self.ended = False
        self.touched: set[PartitionLog] = set()
        self.watch: Watch | None = None
        self.has_lock: asyncio.Event | None = None
        """To be set when it lets go of the lock that it holds."""
        self.waits_for_others = False
        """Whether a promise has yet to be kept."""


class Driver:
    """Drives all handlings of a node, on the loop that it is made on."""

    def __init__(
        self, node: Node, store: Store, *, on_disk_failed: Callable[[DiskFailed], None]
    ) -> None:
        """Make a driver.

        Args:
            node: what handlers work on.
            store: the log beneath it.
            on_disk_failed: is told, once, when nothing can be promised any more.
        """
        self.node = node
        self.after_turn: list[Callable[[], None]] = []
        """Called when handlings have gone on: there may be responses, and promises of another time."""
        self._store = store
        self._on_disk_failed = on_disk_failed
        self._loop = asyncio.get_running_loop()
        self._ready: deque[tuple[Work, Any, Exception | None]] = deque()
        self._turn_is_due = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._disk_failed = False
        store.flusher.on_failed = self.turn_soon

    # -- beginning and ending ------------------------------------------------------------------

    def start(self, handling: Handling[Any], finish: Finish) -> Work | None:
        """Let a handling go as far as it can; return it if it has to wait.

        `finish` is called when it ends, which may be before this returns. Whoever may go on already
        goes on first: a producer's next batch must not find done what its last one has waited for,
        and overtake it.
        """
        if self._ready:
            self._let_ready_go_on()
        work = Work(handling, finish)
        self._go_on(work, None, None)
        self.turn_soon()
        return None if work.ended else work

    def abandon(self, work: Work) -> None:
        """Nobody wants the result any more. Who merely looks out for changes ends at once."""
        if work.watch is not None:
            work.watch.stop()
            work.ended = True
            work.handling.close()

    def end_watch(self, work: Work) -> None:
        """If it looks out for changes, let it go on as if its time were up."""
        if work.watch is not None:
            work.watch.end()

    def disk_failed(self, error: DiskFailed) -> None:
        """Promise nothing more, and say so; the first time."""
        if not self._disk_failed:
            self._disk_failed = True
            if self._store.flusher.failed is None:
                self._store.flusher.fail(error)
            self._on_disk_failed(error)

    async def close(self) -> None:
        """Drive nothing any more; return when nothing is being done aside, either."""
        self._ready.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- going on ------------------------------------------------------------------------------

    def turn_soon(self) -> None:
        """Let what is ready go on in the next turn of the loop, and call who wants to be called."""
        if not self._turn_is_due:
            self._turn_is_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_is_due = False
        self._let_ready_go_on()
        if self._store.flusher.failed is not None:
            self.disk_failed(self._store.flusher.failed)
        for call in self.after_turn:
            call()

    def _let_ready_go_on(self) -> None:
        for _ in range(len(self._ready)):
            work, value, error = self._ready.popleft()
            if not work.ended:
                self._go_on(work, value, error)

    def _resume(self, work: Work, value: Any, error: Exception | None = None) -> None:
        self._ready.append((work, value, error))
        self.turn_soon()

    def _go_on(self, work: Work, value: Any, error: Exception | None) -> None:
        """Run a handling until it waits or ends."""
        handling = work.handling
        try:
            while True:
                wait = handling.send(value) if error is None else handling.throw(error)
                value, error = self._wait(work, wait), None
                if value is _WAITS:
                    return
        except StopIteration as done:
            self._end(work, done.value, None)
        except DiskFailed as failed:
            self.disk_failed(failed)
            self._end(work, None, failed)
        except Exception as failed:  # noqa: BLE001 - the fault of one handler must not stop others
            self._end(work, None, failed)

    def _end(self, work: Work, result: Any, error: Exception | None) -> None:
        work.ended = True
        self._wake(work.touched)
        if work.has_lock is not None:
            work.has_lock.set()
            self._store.wakeups.wake_all()  # what somebody waits for may have gone
        self.turn_soon()
        work.finish(result, error)

    # -- waits ---------------------------------------------------------------------------------

    def _wait(self, work: Work, wait: Any) -> Any:
        """Return what a wait brings, if it has come; else see to it that the handling goes on then."""
        if type(wait) is list:  # by far the most frequent
            return None if self._request(work, wait, partial(self._synced, work)) else _WAITS
        match wait:
            case Change():
                return self._wait_for_change(work, wait)
            case Promise():
                return self._wait_for_promise(work, wait)
            case Flush(logs):
                self._request(work, logs, None)
                return None
            case Exclusive(removes):
                return self._in_task(self._hold_locks(work, removes))
            case Quiet(act):
                return self._in_task(self._act_quietly(work, act))
            case Aside(act):
                return self._in_task(self._act_aside(work, act))
            case logs:
                done = self._request(work, logs, partial(self._synced, work))
                return None if done else _WAITS

    def _request(
        self, work: Work, logs: Collection[PartitionLog], callback: Callable[[], None] | None
    ) -> bool:
        work.touched.update(logs)
        if not self._store.durable_reads:
            self._wake(logs)
        return self._store.flusher.request(logs, callback)

    def _wake(self, logs: Collection[PartitionLog]) -> None:
        if self._store.wakeups.somebody_waits:
            self._store.wakeups.wake([log.partition for log in logs])

    def _synced(self, work: Work) -> None:
        self._resume(work, None, self._store.flusher.failed)

    def _wait_for_change(self, work: Work, wait: Change) -> Any:
        if wait.wait_ms <= 0:
            return False

        def resume(changed: bool) -> None:
            work.watch = None
            self._resume(work, changed)

        timer = partial(self._loop.call_later, wait.wait_ms / 1000)
        work.watch = Watch(self._store.wakeups, wait.partitions, resume, timer)
        return _WAITS

    def _wait_for_promise(self, work: Work, promise: Promise[Any]) -> Any:
        if promise.kept:
            return promise.value

        def resume() -> None:
            work.waits_for_others = False
            self._resume(work, promise.value)

        work.waits_for_others = True
        promise.when_kept = resume
        return _WAITS

    def _in_task(self, coroutine: Coroutine[Any, Any, None]) -> Any:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return _WAITS

    async def _hold_locks(self, work: Work, removes: bool) -> None:
        async with AsyncExitStack() as locks:
            if removes:  # first: who waits for a compaction must not hold up who creates
                await locks.enter_async_context(self._store.removing)
            await locks.enter_async_context(self._store.changing)
            work.has_lock = asyncio.Event()
            self._resume(work, None)
            await work.has_lock.wait()

    async def _act_aside(self, work: Work, act: Callable[[], Any]) -> None:
        try:
            result = await anyio.to_thread.run_sync(act)
        except Exception as error:  # noqa: BLE001 - the handler asked for it, so it may deal with it
            self._resume(work, None, error)
        else:
            self._resume(work, result)

    async def _act_quietly(self, work: Work, act: Callable[[], Any]) -> None:
        try:
            async with self._store.flusher.quiet():
                result = act()
        except Exception as error:  # noqa: BLE001 - the handler asked for it, so it may deal with it
            self._resume(work, None, error)
        else:
            self._resume(work, result)
