"""Handlings are driven to their ends, each wait by its own rules, and none disturbs the others."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from millpond.log.broker.node import Node, Timed
from millpond.log.broker.settings import BrokerSettings
from millpond.log.broker.waits import Aside, Change, Exclusive, Flush, Handling, Promise, Quiet
from millpond.log.embedded import EmbeddedLog
from millpond.log.errors import DiskFailed, LogError
from millpond.log.model import NewRecord, TopicPartition, TopicSpec
from millpond.log.records import encode_batch
from millpond.log.server import make_node
from millpond.log.shell.alarm import Alarm
from millpond.log.shell.driver import Driver
from millpond.log.shell.memory_disk import MemoryDisk
from millpond.log.storage.partition_log import PartitionLog

from ..twins.node_world import VirtualClock

pytestmark = pytest.mark.anyio
ORDERS = TopicPartition("orders", 0)
FOR_EVER_MS = 60_000


class Driven:
    """A driver on a log in memory, and what came of its handlings."""

    def __init__(self, log: EmbeddedLog, disk: MemoryDisk) -> None:
        self.log = log
        self.disk = disk
        self.clock = VirtualClock()
        self.node: Node = make_node(log, BrokerSettings(), self.clock)
        self.node.timed.clear()
        self.failures: list[DiskFailed] = []
        self.driver = Driver(self.node, log, on_disk_failed=self.failures.append)
        self.results: list[Any] = []
        self.finished = asyncio.Event()

    @property
    def orders(self) -> PartitionLog:
        return self.log.broker.partition(ORDERS)

    def start(self, handling: Handling[Any]) -> Any:
        return self.driver.start(handling, self._finish)

    def append(self, value: bytes) -> PartitionLog:
        now = self.log.now()
        self.log.broker.append(
            ORDERS, encode_batch([NewRecord(None, value, now)]), now, trusted=True
        )
        return self.orders

    async def settle(self) -> None:
        """Let everything happen that can."""
        for _ in range(20):
            await asyncio.sleep(0)

    def _finish(self, result: Any, error: Exception | None) -> None:
        self.results.append(result if error is None else error)
        self.finished.set()


@asynccontextmanager
async def driven() -> AsyncIterator[Driven]:
    disk = MemoryDisk()
    async with EmbeddedLog.open("memory", disk=disk) as log:
        await log.create_topics([TopicSpec("orders", 1)])
        world = Driven(log, disk)
        yield world
        await world.driver.close()


async def test_what_need_not_wait_is_done_at_once() -> None:
    async with driven() as world:

        def handle() -> Handling[str]:
            yield [world.append(b"a")]
            yield Flush([world.append(b"b")])
            assert (yield Change([ORDERS], 0)) is False
            kept: Promise[int] = Promise()
            kept.keep(7)
            assert (yield kept) == 7
            return "done"

        assert world.start(handle()) is None
        assert world.results == ["done"]
        assert world.orders.flushed_offset == 2


async def test_a_change_ends_a_wait_and_so_does_time() -> None:
    async with driven() as world:

        def look(wait_ms: int) -> Handling[bool]:
            return (yield Change([ORDERS, TopicPartition("orders", 9)], wait_ms))

        def produce() -> Handling[str]:
            yield [world.append(b"a")]
            return "produced"

        world.start(look(FOR_EVER_MS))
        world.start(produce())
        await world.settle()
        assert world.results == ["produced", True]
        world.start(look(1))
        await asyncio.sleep(0.05)
        assert world.results[2:] == [False]


async def test_a_wait_that_nobody_cares_for_any_more_ends() -> None:
    async with driven() as world:
        closed = []

        def look() -> Handling[None]:
            try:
                yield Change([ORDERS], FOR_EVER_MS)
            finally:
                closed.append(True)

        work = world.start(look())
        world.driver.abandon(work)
        assert closed == [True]
        await world.settle()
        assert world.results == []


async def test_who_was_told_to_end_its_watch_answers() -> None:
    async with driven() as world:

        def look() -> Handling[bool]:
            return (yield Change([ORDERS], FOR_EVER_MS))

        world.driver.end_watch(world.start(look()))
        await world.settle()
        assert world.results == [False]


async def test_a_promise_is_kept_by_another_request() -> None:
    async with driven() as world:
        promise: Promise[str] = Promise()

        def wait() -> Handling[str]:
            return (yield promise)

        work = world.start(wait())
        assert work.waits_for_others
        promise.keep("hello")
        assert world.results == []  # not inside of who kept it
        await world.settle()
        assert world.results == ["hello"]


async def test_one_at_a_time_has_the_exclusive_right() -> None:
    async with driven() as world:
        inside: list[str] = []

        def change(name: str, until: Promise[None]) -> Handling[str]:
            yield Exclusive()
            inside.append(name)
            yield until
            inside.remove(name)
            return name

        promises: list[Promise[None]] = [Promise(), Promise()]
        for name, promise in zip("ab", promises, strict=True):
            world.start(change(name, promise))
        await world.settle()
        assert inside == ["a"]
        with anyio.move_on_after(0.01) as waited:
            await world.log.create_topics([TopicSpec("other", 1)])
        assert waited.cancelled_caught
        promises[0].keep(None)
        await world.settle()
        assert inside == ["b"]
        promises[1].keep(None)
        await world.settle()
        assert world.results == ["a", "b"]
        await world.log.create_topics([TopicSpec("other", 1)])


@pytest.mark.parametrize("kind", [Quiet, Aside])
async def test_an_act_gives_its_result_or_its_error_to_the_handler(kind: type[Any]) -> None:
    async with driven() as world:

        def fail() -> None:
            raise LogError("no")

        def handle() -> Handling[list[str]]:
            seen = [(yield kind(lambda: "yes"))]
            try:
                yield kind(fail)
            except LogError as error:
                seen.append(str(error))
            return seen

        world.start(handle())
        await world.finished.wait()
        assert world.results == [["yes", "no"]]


async def test_the_fault_of_one_handler_is_its_own() -> None:
    async with driven() as world:

        def wrong() -> Handling[None]:
            yield [world.orders]
            raise ZeroDivisionError

        def right() -> Handling[str]:
            yield [world.append(b"a")]
            return "well"

        world.start(wrong())
        world.start(right())
        assert isinstance(world.results[0], ZeroDivisionError)
        assert world.results[1:] == ["well"]
        assert world.failures == []


async def test_a_failed_disk_is_told_once_and_nothing_is_acknowledged() -> None:
    async with driven() as world:

        def produce() -> Handling[str]:
            yield [world.append(b"a")]
            return "acknowledged"

        world.disk.fail_after("sync")
        world.start(produce())
        world.start(produce())
        await world.settle()
        assert [type(result) for result in world.results] == [DiskFailed, DiskFailed]
        assert len(world.failures) == 1


async def test_a_disk_that_fails_while_nobody_waits_is_told_too() -> None:
    async with driven() as world:
        world.log.flusher.fail(DiskFailed("in the background"))
        await world.settle()
        assert len(world.failures) == 1


async def test_who_may_go_on_does_so_before_the_next_one_begins() -> None:
    # Else a producer's second batch would find done what its first one still waits to be told.
    async with driven() as world:
        promise: Promise[None] = Promise()
        order = []

        def first() -> Handling[None]:
            yield promise
            order.append("first")

        def second() -> Handling[None]:
            assert promise.kept
            order.append("second")
            yield [world.orders]

        world.start(first())
        promise.keep(None)
        world.start(second())
        assert order == ["first", "second"]


class Reminder:
    """A part of a node that acts at certain times."""

    def __init__(self, *due_ms: int) -> None:
        self.due_ms = list(due_ms)
        self.acted_at: list[int] = []

    def next_due_ms(self) -> int | None:
        return self.due_ms[0] if self.due_ms else None

    def on_time(self, node: Node) -> Iterator[Any]:
        self.due_ms.pop(0)
        self.acted_at.append(node.clock.elapsed_ms())
        yield []


async def test_who_is_due_acts() -> None:
    async with driven() as world:
        timed: list[Timed] = [Reminder(0, 0), Reminder(5, 1000), Reminder()]  # type: ignore[list-item]
        world.node.timed.extend(timed)
        alarm = Alarm(world.driver)
        await world.settle()
        assert [one.acted_at for one in timed] == [[0, 0], [], []]  # type: ignore[attr-defined]
        world.clock.advance(5)
        await asyncio.sleep(0.05)
        assert timed[1].acted_at == [5]  # type: ignore[attr-defined]
        world.clock.advance(995)
        world.driver.turn_soon()
        await world.settle()
        assert timed[1].acted_at == [5, 1000]  # type: ignore[attr-defined]
        alarm.close()


async def test_who_becomes_due_while_others_wait_is_seen() -> None:
    # A member of a group that waits for others to join waits for the time as well.
    async with driven() as world:
        reminder = Reminder()
        world.node.timed.append(reminder)  # type: ignore[arg-type]
        alarm = Alarm(world.driver)
        await world.settle()
        promise: Promise[None] = Promise()

        def join() -> Handling[str]:
            reminder.due_ms.append(0)
            yield promise
            return "joined"

        world.start(join())
        await world.settle()
        assert reminder.acted_at == [0]
        promise.keep(None)
        await world.settle()
        assert world.results == ["joined"]
        alarm.close()
