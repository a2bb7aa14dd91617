"""Runs handlers, and what acts by itself, by callbacks: no task per request.

A handler that has to wait is a generator of what it waits for (`broker/waits.py`). Each is kept in a
`Work`. Whatever it waits for ends by putting the work into a queue, and all that is in the queue goes
on in one turn of the event loop: so nothing goes on inside of another's step, and a thousand requests
that share one sync cost one wake-up.

Only two kinds of waits are rare enough for a task: the right to change what exists, and silence from
the flusher. Both are locks that the embedded log's own tasks hold too.

After every turn the node's timed parts are asked when they are due.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Final, Protocol, TypeAlias

import anyio

from ..broker.node import Node, Timed
from ..broker.waits import Change, Exclusive, Flush, Handling, Promise, Quiet
from ..errors import DiskFailed
from ..storage.partition_log import PartitionLog
from .flusher import Flusher
from .wakeups import Wakeups

_LOG: Final = logging.getLogger("millpond.broker")

Finish: TypeAlias = Callable[[Any, Exception | None], None]
"""Is given what a handling returned, or what it raised."""


class Store(Protocol):
    """What the driver needs of the log that handlers work on."""

    flusher: Flusher
    wakeups: Wakeups
    removing: anyio.Lock
    durable_reads: bool


class Work:
    """A handling on its way, and what it waits for."""

    __slots__ = ("ended", "finish", "handling", "touched", "watch", "yields_lock")

    def __init__(self, handling: Handling[Any], finish: Finish) -> None:
        self.handling = handling
        self.finish = finish
        self.ended = False
        self.touched: set[PartitionLog] = set()
        self.watch: _Watch | None = None
        self.yields_lock: asyncio.Event | None = None


class Driver:
    """Drives all handlings of a node. Everything happens on one event loop."""

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
        self.after_turn: Callable[[], None] = _nothing
        """Called when handlings have gone on: there may be responses."""
        self._store = store
        self._on_disk_failed = on_disk_failed
        self._loop = asyncio.get_running_loop()
        self._ready: deque[tuple[Work, Any, Exception | None]] = deque()
        self._turn_is_due = False
        self._watching: dict[Work, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0
        self._acting: set[int] = set()
        self._disk_failed = False

    # -- beginning and ending ------------------------------------------------------------------

    def start(self, handling: Handling[Any], finish: Finish) -> Work | None:
        """Let a handling go as far as it can; return it if it has to wait.

        `finish` is called when it ends, which may be before this returns.
        """
        work = Work(handling, finish)
        self._go_on(work, None, None)
        return None if work.ended else work

    def abandon(self, work: Work) -> None:
        """Nobody wants the result any more. Who merely looks for changes ends at once."""
        if work.watch is not None:
            work.watch.stop()
            self._close(work)

    def end_watching(self) -> None:
        """Let all who wait for changes go on as if their time were up."""
        for work in list(self._watching):
            assert work.watch is not None
            work.watch.end()

    def close(self) -> None:
        """End everything where it stands."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        for work in list(self._watching):
            self.abandon(work)

    # -- going on ------------------------------------------------------------------------------

    def turn_soon(self) -> None:
        """Let what is ready go on in the next turn of the loop, and look at the time then."""
        if not self._turn_is_due:
            self._turn_is_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_is_due = False
        for _ in range(len(self._ready)):
            work, value, error = self._ready.popleft()
            if not work.ended:
                self._go_on(work, value, error)
        if self._store.flusher.failed is not None:
            self._fail(self._store.flusher.failed)
        self.after_turn()
        self._look_at_time()

    def _resume(self, work: Work, value: Any, error: Exception | None = None) -> None:
        self._ready.append((work, value, error))
        self.turn_soon()

    def _go_on(self, work: Work, value: Any, error: Exception | None) -> None:
        """Run a handling until it waits or ends."""
        handling = work.handling
        try:
            while True:
                wait = handling.send(value) if error is None else handling.throw(error)
                value = error = None
                match wait:
                    case Change():
                        if wait.wait_ms > 0:
                            work.watch = _Watch(self, work, wait)
                            return
                        value = False
                    case Promise():
                        if not wait.kept:
                            self._wait_for_promise(work, wait)
                            return
                        value = wait.value
                    case Flush(logs):
                        self._request(work, logs, None)
                    case Exclusive():
                        self._in_task(self._hold_lock(work))
                        return
                    case Quiet(act):
                        self._in_task(self._act_quietly(work, act))
                        return
                    case logs:
                        if not self._request(work, logs, lambda: self._synced(work)):
                            return
        except StopIteration as done:
            self._end(work, done.value, None)
        except DiskFailed as failed:
            self._store.flusher.fail(failed)
            self._end(work, None, failed)
            self._fail(failed)
        except Exception as failed:  # noqa: BLE001 - the fault of one handler must not stop the others
            self._end(work, None, failed)

    def _end(self, work: Work, result: Any, error: Exception | None) -> None:
        work.ended = True
        if work.touched:
            self._store.wakeups.wake(log.partition for log in work.touched)
        if work.yields_lock is not None:
            work.yields_lock.set()
            self._store.wakeups.wake_all()  # what somebody waits for may have gone
        self.turn_soon()
        work.finish(result, error)

    def _close(self, work: Work) -> None:
        work.ended = True
        if work.yields_lock is not None:
            work.yields_lock.set()
        work.handling.close()

    # -- waits ---------------------------------------------------------------------------------

    def _request(
        self, work: Work, logs: Collection[PartitionLog], callback: Callable[[], None] | None
    ) -> bool:
        work.touched.update(logs)
        if not self._store.durable_reads:
            self._store.wakeups.wake(log.partition for log in logs)
        return self._store.flusher.request(logs, callback)

    def _synced(self, work: Work) -> None:
        self._resume(work, None, self._store.flusher.failed)

    def _wait_for_promise(self, work: Work, promise: Promise[Any]) -> None:
        promise.when_kept = lambda: self._resume(work, promise.value)

    def _in_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hold_lock(self, work: Work) -> None:
        async with self._store.removing:
            work.yields_lock = asyncio.Event()
            self._resume(work, None)
            await work.yields_lock.wait()

    async def _act_quietly(self, work: Work, act: Callable[[], Any]) -> None:
        try:
            async with self._store.flusher.quiet():
                result = act()
        except Exception as error:  # noqa: BLE001 - the handler asked for it, so it may deal with it
            self._resume(work, None, error)
        else:
            self._resume(work, result)

    def _fail(self, error: DiskFailed) -> None:
        if not self._disk_failed:
            self._disk_failed = True
            self._on_disk_failed(error)

    # -- time ----------------------------------------------------------------------------------

    def _look_at_time(self) -> None:
        """Let act who is due, and see when the next one will be."""
        now = self.node.clock.elapsed_ms()
        next_ms: int | None = None
        for timed in self.node.timed:
            if id(timed) in self._acting:
                continue
            due_ms = timed.next_due_ms()
            if due_ms is None:
                continue
            if due_ms <= now:
                self._act(timed)
            elif next_ms is None or due_ms < next_ms:
                next_ms = due_ms
        self._set_timer(now, next_ms)

    def _act(self, timed: Timed) -> None:
        self._acting.add(id(timed))

        def finish(_result: None, error: Exception | None) -> None:
            self._acting.discard(id(timed))
            if error is not None and not isinstance(error, DiskFailed):
                _LOG.error("%r failed at what it does by itself", timed, exc_info=error)

        self.start(timed.on_time(self.node), finish)

    def _set_timer(self, now: int, next_ms: int | None) -> None:
        if self._timer is not None:
            if next_ms == self._timer_ms:
                return
            self._timer.cancel()
            self._timer = None
        if next_ms is not None:
            self._timer_ms = next_ms
            self._timer = self._loop.call_later((next_ms - now) / 1000, self._time_has_come)

    def _time_has_come(self) -> None:
        self._timer = None
        self.turn_soon()


class _Watch:
    """A handling that waits for a change in partitions, or until its time is up."""

    __slots__ = ("_driver", "_partitions", "_timer", "_work")

    def __init__(self, driver: Driver, work: Work, wait: Change) -> None:
        self._driver = driver
        self._work = work
        self._partitions = wait.partitions
        self._timer = driver._loop.call_later(wait.wait_ms / 1000, self.end)
        driver._watching[work] = None
        driver._store.wakeups.watch(wait.partitions, self)

    def set(self) -> None:
        """There is a change."""
        self.stop()
        self._driver._resume(self._work, True)

    def end(self) -> None:
        """There was none."""
        self.stop()
        self._driver._resume(self._work, False)

    def stop(self) -> None:
        """Look no longer."""
        self._timer.cancel()
        self._driver._store.wakeups.forget(self._partitions, self)
        del self._driver._watching[self._work]
        self._work.watch = None


def _nothing() -> None:
    pass
