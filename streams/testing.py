"""Tests of a user's app: the real engine on a real log, both in memory, in virtual time.

    async def test_total():
        async with app.test() as t:
            await t.send(orders, Order("1", "ann", 5.0, at=t.now))
            await t.settle()
            assert totals.view()["ann"] == 5.0
            await t.crash()
            assert totals.view()["ann"] == 5.0

Only the disk, RocksDB and the clock are replaced, each by an equivalent that can be cut off at any
moment and forgets what a real one would forget.
"""

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
import anyio.abc

from ..log.embedded import EmbeddedLog
from ..log.model import TopicPartition
from ..log.shell.memory_disk import MemoryDisk
from ..state.backend import Backend
from ..state.memory import MemoryBackend
from .engine.clock import VirtualClock
from .engine.engine import Engine
from .engine.failures import plain_errors
from .stream import Event
from .timestamps import duration_ms, from_ms, to_ms
from .topic import Topic

if TYPE_CHECKING:
    from .app import App

START = datetime(2025, 1, 1, tzinfo=UTC)


class AppTest:
    """Runs an app for a test. Made by `App.test`, used as an async context manager."""

    def __init__(self, app: "App", *, start: datetime = START) -> None:
        self._app = app
        self._clock = VirtualClock(to_ms(start))
        self._disk = MemoryDisk()
        self._backends: dict[tuple[str, int], MemoryBackend] = {}
        self._stack: AsyncExitStack
        self._failure: Exception | None = None
        self._group: anyio.abc.TaskGroup
        self._scope: anyio.CancelScope
        self._leave = anyio.Event()
        self._gone = anyio.Event()

    async def __aenter__(self) -> Self:
        with plain_errors():
            async with AsyncExitStack() as stack:
                self._group = await stack.enter_async_context(anyio.create_task_group())
                await self._start()
                self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._leave.set()
        with plain_errors():
            try:
                return await self._stack.__aexit__(kind, error, traceback)
            except Exception:
                if self._failure is not None:
                    raise self._failure from None  # It explains what the test met with.
                raise

    @property
    def now(self) -> datetime:
        """The virtual time; only `advance` moves it."""
        return from_ms(self._clock.now())

    @property
    def engine(self) -> Engine:
        """The running app."""
        return self._app.running

    async def send(
        self, topic: Topic[Any, Any], value: Any, *, key: Any = None, **rest: Any
    ) -> None:
        """Send a record to a topic, durably; see `Topic.send`."""
        await topic.send(key=key, value=value, **rest)
        await self._app.flush()

    async def settle(self) -> None:
        """Let the app process and commit all there is.

        Where it only waits for time to pass (for a rate, or before a retry), time passes. Events
        that `take` holds for a batch that is not full stay held until `advance`.
        """
        while True:
            await self._app.flush()
            for runner in self.engine.runners:
                runner.commit_soon()
            await _all_others_wait()
            if await self.engine.is_settled():
                return
            due = self._clock.next_due()
            if due is not None and any(runner.waits_for_time for runner in self.engine.runners):
                self._clock.advance_to(max(int(due), self._clock.now()))

    async def advance(self, duration: timedelta) -> None:
        """Let time pass, waking everything that falls due on the way, in order."""
        until = self._clock.now() + duration_ms(duration, what="advance")
        while True:
            await _all_others_wait()
            due = self._clock.next_due()
            if due is None or due > until:
                break
            self._clock.advance_to(max(int(due), self._clock.now()))
        self._clock.advance_to(until)
        await self.settle()

    async def records(self, topic: Topic[Any, Any] | str) -> list[Event[Any]]:
        """Return all committed records of a topic, by partition; of a name, as raw bytes."""
        name = topic if isinstance(topic, str) else topic.name
        log = self.engine.log
        described = (await log.describe_topics([name]))[name]
        partitions = [TopicPartition(name, number) for number in range(described.partitions)]
        ends = await log.end_offsets(partitions)
        found: list[Event[Any]] = []
        for partition, start in (await log.start_offsets(partitions)).items():
            reader = log.reader()
            reader.assign({partition: start})
            while start < ends[partition]:
                for fetched in await reader.read():
                    found += [_event(topic, partition, record) for record in fetched.records]
                    start = fetched.next_offset
            await reader.aclose()
        return found

    async def crash(self, *, lose_unsynced: bool = True) -> None:
        """Cut the app off as a power failure would, and start it again on what the disk has.

        Args:
            lose_unsynced: whether bytes that were not synced are lost; a killed process keeps them.
        """
        disk = copy.deepcopy(self._disk)
        backends = copy.deepcopy(self._backends)
        self._scope.cancel()
        await self._gone.wait()
        disk.crash(lose_unsynced=lose_unsynced)
        for backend in backends.values():
            backend.crash()
        self._disk, self._backends = disk, backends
        await self._start()

    async def restart(self) -> None:
        """Stop the app in order, and start it again."""
        self._leave.set()
        await self._gone.wait()
        await self._start()

    async def _start(self) -> None:
        self._leave, self._gone = anyio.Event(), anyio.Event()
        await self._group.start(self._host)

    async def _host(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        try:
            with anyio.CancelScope() as self._scope:
                async with self._running():
                    task_status.started()
                    await self._leave.wait()
        except Exception as error:
            self._failure = error
            raise
        finally:
            self._gone.set()

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[Engine]:
        app = self._app

        async def open_backend(subtopology: str, partition: int, *, rebuild: bool) -> Backend:
            if rebuild or (subtopology, partition) not in self._backends:
                self._backends[subtopology, partition] = MemoryBackend()
            backend = self._backends[subtopology, partition]
            backend.reopen()
            return backend

        async with EmbeddedLog.open("memory", disk=self._disk, clock=self._clock) as log:
            engine = Engine(app, app.topology(), log, self._clock, open_backend)
            async with app.entered(engine):
                yield engine


async def _all_others_wait() -> None:
    """Return once every other task waits for something.

    On asyncio anyio's function looks again only after 0.1 s, of which most tests would consist.
    """
    try:
        this = asyncio.current_task()
    except RuntimeError:  # no asyncio here
        await anyio.wait_all_tasks_blocked()
        return
    await asyncio.sleep(0)
    while not all(task is this or _waits(task) for task in asyncio.all_tasks()):  # noqa: ASYNC110
        await asyncio.sleep(0)


def _waits(task: "asyncio.Task[Any]") -> bool:
    waiter = getattr(task, "_fut_waiter", None)
    return waiter is not None and not waiter.done()


def _event(topic: Topic[Any, Any] | str, partition: TopicPartition, record: Any) -> Event[Any]:
    key, value = record.key, record.value
    if isinstance(topic, Topic):
        key = None if key is None else topic.key_codec.decode(key)
        value = None if value is None else topic.value_codec.decode(value)
    return Event(key, value, record.timestamp, record.headers, partition, record.offset)
