"""Copies of a task's state: as good as the original, and a short way from being one."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import anyio
import millpond as mp
import pytest
from confluent_kafka import Producer
from millpond.log.cluster.cluster_log import ClusterLog
from millpond.log.interface import Log
from millpond.log.model import Offset, TopicPartition, TopicSpec
from millpond.state.backend import Backend
from millpond.state.changelog import KEY_VALUE_1
from millpond.state.keys import META_POSITION
from millpond.state.memory import MemoryBackend
from millpond.state.meta import read_positions
from millpond.state.rocks import RocksEnvironment
from millpond.state.task_state import TaskRestore
from millpond.streams.engine.assignor import TaskId
from millpond.streams.engine.clock import Clock, SystemClock
from millpond.streams.engine.directories import StoreDirectories
from millpond.streams.engine.engine import Engine
from millpond.streams.engine.local_state import LocalState
from millpond.streams.engine.outputs import Outputs
from millpond.streams.engine.standby import Standby
from millpond.streams.engine.task import Task
from millpond.streams.engine.task_stores import TaskStores
from millpond.streams.testing import AppTest
from millpond.tests.twins.running_broker import RunningBroker

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)
FLUSH_INTERVAL = mp.Settings().flush_interval


class Shop:
    """An app that adds up orders, in all and by the minute."""

    def __init__(self) -> None:
        self.app = mp.App("shop", settings=mp.Settings(partitions=1))
        self.orders = self.app.topic("orders", key=str, value=int)
        self.totals = self.app.Table("totals", key=str, value=int, default=int)
        minutes = self.app.Table("minutes", key=str, value=int, default=int)
        self.minutes = minutes.tumbling(60 * SECOND, grace=timedelta(0))
        self.app.agent(self.orders)(self.add)

    async def add(self, stream: mp.Stream[int]) -> None:
        async for event in stream.events():
            self.totals[event.key] += event.value
            self.minutes[event.key] += event.value

    async def order(self, t: AppTest, count: int, *, minute: int = 0, customers: int = 7) -> None:
        for number in range(count):
            key = f"customer-{number % customers}"
            await self.orders.send(key=key, value=number, timestamp=minute * 60_000)
        await t.settle()


class Disk(MemoryBackend):
    """Counts how often it was flushed; what is on it can be seen when it is closed, too."""

    def __init__(self) -> None:
        super().__init__()
        self.flushes = 0
        self.is_fast = threading.Event()
        self.is_fast.set()

    def flush(self) -> None:
        self.is_fast.wait(10)
        super().flush()
        self.flushes += 1


class Machine:
    """Another machine, that has the same app, a log in common, and a disk of its own."""

    def __init__(self, app: mp.App, log: Log, clock: Clock) -> None:
        self.disk = Disk()
        self.notes: list[str] = []
        self.engine = Engine(app, app.topology(), log, clock, self._open_backend)
        self.engine.note = self.notes.append  # type: ignore[assignment, method-assign]
        self.subtopology = self.engine.topology.subtopologies[0]

    async def _open_backend(self, subtopology: str, partition: int, *, rebuild: bool) -> Backend:
        assert not rebuild
        self.disk.reopen()
        return self.disk

    @asynccontextmanager
    async def standing_by(self) -> AsyncIterator[Standby]:
        standby = Standby(self.engine, self.subtopology, 0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(standby.run)
            yield standby
            tasks.cancel_scope.cancel()

    async def catch_up(self) -> None:
        """Wait until a copy has what is in the log."""
        local = LocalState(self.engine, self.subtopology, 0)
        with anyio.fail_after(10):
            for partition, end in (await local.ends()).items():
                while self.position(partition.topic) < end:  # noqa: ASYNC110
                    await anyio.sleep(0.001)

    def position(self, changelog: str) -> Offset:
        stored = read_positions(self.disk).get(changelog)
        return -1 if stored is None else stored.position.offset

    async def look_up(self, t: AppTest, after: timedelta = FLUSH_INTERVAL) -> None:
        """Let time pass until a copy has looked up how far the task is. Flushes are in a thread."""
        flushes = self.disk.flushes
        await t.advance(after)
        with anyio.fail_after(10):
            while self.disk.flushes == flushes:  # noqa: ASYNC110
                await anyio.sleep(0.001)

    async def take_over(self, t: AppTest) -> TaskRestore:
        """Do what a runner does, and return the way that it had to go."""
        group = self.engine.topology.group(self.subtopology)
        task = Task(self.subtopology, 0, t.engine.outputs())
        sources = [source.partition for source in task.inputs]
        log = self.engine.log
        task.resume(
            await log.committed_offsets(group, sources),
            await log.start_offsets(sources),
            await log.end_offsets(sources),
        )
        local = LocalState(self.engine, self.subtopology, 0)
        await local.open()
        restore = await local.begin(task.meta.closed)
        reader = local.reader(restore.offsets)
        while not restore.done:
            for fetched in await reader.read():
                restore.feed(fetched)
        await reader.aclose()
        restore.finish(self.engine.clock.now())
        await local.aclose()
        return restore


def another(t: AppTest) -> Machine:
    return Machine(t._app, t.engine.log, t._clock)


def data(backend: MemoryBackend) -> dict[bytes, bytes]:
    """Return all bytes but the positions, which tell when it got there."""
    return {key: value for key, value in backend._data.items() if not key.startswith(META_POSITION)}


def original(t: AppTest) -> dict[bytes, bytes]:
    [backend] = t._backends.values()
    return data(backend)


async def test_a_copy_is_equal_to_the_original_byte_for_byte_after_the_same_commits() -> None:
    shop = Shop()
    async with shop.app.test() as t:
        await shop.order(t, 20)
        machine = another(t)
        async with machine.standing_by():
            for count in (1, 30, 5):
                await shop.order(t, count)
                await machine.catch_up()
                assert data(machine.disk) == original(t)
            await shop.orders.send(key="ann", value=1, timestamp=0)
            assert data(machine.disk) == original(t), "what is not committed is in neither"


async def test_who_takes_over_reads_only_what_the_copy_did_not() -> None:
    shop = Shop()
    async with shop.app.test() as t:
        machine = another(t)
        async with machine.standing_by() as standby:
            await shop.order(t, 50)
            await machine.catch_up()
            assert standby.record_count == 14
            assert standby.lag == 0
        await shop.order(t, 3)
        restore = await machine.take_over(t)
        assert restore.record_count == 6, "three customers, in two tables"
        assert data(machine.disk) == original(t)
        assert (await machine.take_over(t)).record_count == 0


async def test_a_copy_goes_on_from_where_it_was() -> None:
    shop = Shop()
    async with shop.app.test() as t:
        machine = another(t)
        async with machine.standing_by():
            await shop.order(t, 50)
            await machine.catch_up()
        async with machine.standing_by() as standby:
            await shop.order(t, 2)
            await machine.catch_up()
            assert standby.record_count == 4
            assert data(machine.disk) == original(t)


async def test_how_far_a_copy_has_come_is_told_to_whoever_shares_tasks_out(tmp_path: Path) -> None:
    shop = Shop()
    async with shop.app.test() as t:
        machine = another(t)
        directories = StoreDirectories(tmp_path, RocksEnvironment(8 << 20))
        machine.engine.open_backend = directories.open
        task = TaskId(machine.subtopology.name, 0)
        await shop.order(t, 50)
        ends = await LocalState(machine.engine, machine.subtopology, 0).ends()
        async with machine.standing_by():
            with anyio.fail_after(10):
                while directories.warm() != {task: sum(ends.values())}:  # noqa: ASYNC110
                    await anyio.sleep(0.001)
        other_process = StoreDirectories(tmp_path, RocksEnvironment(8 << 20))
        assert other_process.warm() == {task: sum(ends.values())}
        assert (await machine.take_over(t)).record_count == 0


async def test_windows_that_the_task_has_closed_leave_the_copy_as_well() -> None:
    shop = Shop()
    async with shop.app.test() as t:
        machine = another(t)
        async with machine.standing_by():
            for minute in range(4):
                await shop.order(t, 10, minute=minute)
                await machine.catch_up()
            grown = len(data(machine.disk))
            assert grown > len(original(t)), "it learns of them only now and then"
            await machine.look_up(t)
            assert data(machine.disk) == original(t)
            await shop.order(t, 10, minute=5)
            await machine.catch_up()
        await machine.take_over(t)
        assert data(machine.disk) == original(t)


async def test_a_copy_of_a_task_in_which_nothing_happens_does_not_grow_old() -> None:
    shop = Shop()
    async with shop.app.test() as t:
        machine, abandoned = another(t), another(t)
        async with abandoned.standing_by():
            await shop.order(t, 10)
            await abandoned.catch_up()
        async with machine.standing_by():
            for _ in range(3):
                await machine.look_up(t, after=timedelta(hours=10))
        await shop.order(t, 1, minute=1)
        assert set((await machine.take_over(t)).reasons.values()) == {"resumed"}
        reasons = (await abandoned.take_over(t)).reasons
        assert any("longer than deletions are kept" in reason for reason in reasons.values())
        assert data(machine.disk) == data(abandoned.disk) == original(t)


async def test_a_copy_that_cannot_be_kept_is_given_up_and_the_worker_goes_on() -> None:
    shop = Shop()
    async with shop.app.test() as t:
        await shop.order(t, 10)
        changelog = t.engine.topology.changelog(shop.totals)
        await t.engine.log.delete_records({TopicPartition(changelog, 0): 3})
        machine = another(t)
        await Standby(machine.engine, machine.subtopology, 0).run()
        [note] = machine.notes
        assert note.startswith(f"The copy of the state of task {machine.subtopology.name}[0] is")
        assert "begins at offset 3, but 0 is needed" in note
        with pytest.raises(Exception, match="is closed"):
            machine.disk.get(b"")


async def test_a_copy_that_lost_its_way_begins_anew() -> None:
    """While it flushes to a slow disk, retention deletes what it would have read next."""
    shop = Shop()
    async with shop.app.test() as t:
        machine = another(t)
        async with machine.standing_by():
            await shop.order(t, 10)
            await machine.catch_up()
        partition = TopicPartition(t.engine.topology.changelog(shop.minutes), 0)
        machine.disk.is_fast.clear()
        async with machine.standing_by():
            await anyio.wait_all_tasks_blocked()
            await shop.order(t, 10, minute=1)
            await t.engine.log.delete_records(await t.engine.log.end_offsets([partition]))
            machine.disk.is_fast.set()
            await shop.order(t, 10, minute=2)
            await machine.catch_up()
            await machine.look_up(t)
            assert data(machine.disk) == original(t)


async def test_what_the_last_owner_is_about_to_commit_is_waited_for() -> None:
    """An undecided transaction of a worker that hangs, in the changelog of a task that is taken over."""
    app = mp.App("shop", settings=mp.Settings(partitions=1))
    totals = app.Table("totals", key=str, value=int, default=int)

    @app.agent(app.topic("orders", key=str, value=int))
    async def add(stream: mp.Stream[int]) -> None:
        async for event in stream.events():
            totals[event.key] += event.value

    with RunningBroker() as broker:
        address = f"127.0.0.1:{broker.port}"
        async with ClusterLog.open(f"kafka://{address}") as log:
            machine = Machine(app, log, SystemClock())
            changelog = machine.engine.topology.changelog(totals)
            await log.create_topics([TopicSpec(changelog, 1)])
            owner = Producer({"bootstrap.servers": address, "transactional.id": "the last owner"})
            await anyio.to_thread.run_sync(begin_transaction, owner, changelog)
            task = Task(machine.subtopology, 0, Outputs({}))
            stores = TaskStores(machine.engine, task)
            taken_over = False

            async def take_over() -> None:
                nonlocal taken_over
                await stores.open({})
                taken_over = True

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(take_over)
                await anyio.sleep(0.5)
                assert not taken_over
                await anyio.to_thread.run_sync(owner.commit_transaction)
            assert dict(task.stores[totals].items()) == {"ann": 5}
            await stores.aclose()


def begin_transaction(producer: Producer, changelog: str) -> None:
    """Let a producer append a change to a changelog, in a transaction that stays open."""
    producer.init_transactions()
    producer.begin_transaction()
    header, version = KEY_VALUE_1
    producer.produce(changelog, key=b"ann", value=b"5", partition=0, headers=[(header, version)])
    producer.flush()
