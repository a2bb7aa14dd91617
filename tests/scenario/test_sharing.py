"""Workers that share the tasks of an app: who has what, what moves, and what a zombie can do."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.abc
import millpond as mp
import pytest
from millpond.log.embedded import EmbeddedLog
from millpond.log.model import NewRecord, TopicPartition
from millpond.log.shell.memory_disk import MemoryDisk
from millpond.state.backend import Backend
from millpond.state.memory import MemoryBackend
from millpond.streams.engine.assignor import TaskId
from millpond.streams.engine.clock import SystemClock
from millpond.streams.engine.engine import Engine
from millpond.streams.engine.runner import TaskRunner
from millpond.streams.engine.sharing import SharedTasks
from millpond.tests.twins.shared_log import Group, Member, SharedMemoryLog

pytestmark = pytest.mark.anyio
PARTITIONS = 6


class Directory:
    """One worker's stores, in memory."""

    def __init__(self, name: str) -> None:
        self.identity = name
        self._backends: dict[TaskId, MemoryBackend] = {}

    async def open(self, subtopology: str, partition: int, *, rebuild: bool) -> Backend:
        task = TaskId(subtopology, partition)
        if rebuild or task not in self._backends:
            self._backends[task] = MemoryBackend()
        backend = self._backends[task]
        backend.reopen()
        return backend

    def warm(self) -> dict[TaskId, int]:
        return {}

    def keep(self, tasks: Iterable[TaskId]) -> None:
        pass

    async def close_kept(self) -> None:
        pass


def make_app() -> mp.App:
    """Count what comes, by key, and send each count on."""
    app = mp.App("shop")
    orders = app.topic("orders", key=str, value=int, partitions=PARTITIONS)
    counted = app.topic("counted", key=str, value=int, partitions=1)
    counts = app.Table("counts", key=str, value=int, default=int)

    @app.agent(orders)
    async def count(stream: mp.Stream[int]) -> None:
        async for event in stream.events():
            counts[event.key] += event.value
            await counted.send(key=event.key, value=counts[event.key])

    return app


@dataclass
class Worker:
    """A worker that runs, in a task of its own."""

    directory: Directory
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    leave: anyio.Event = field(default_factory=anyio.Event)
    gone: anyio.Event = field(default_factory=anyio.Event)
    engine: Engine = field(init=False)

    def runners(self) -> dict[int, TaskRunner]:
        return {runner.task.partition: runner for runner in self.engine.runners}


class World:
    """Some workers on one log."""

    def __init__(self, log: SharedMemoryLog, tasks: anyio.abc.TaskGroup) -> None:
        self.log = log
        self.workers: list[Worker] = []
        self.sent: Counter[str] = Counter()
        self._tasks = tasks

    @property
    def group(self) -> Group:
        return self.log.group("shop")

    async def add(self) -> Worker:
        worker = Worker(Directory(f"directory-{len(self.workers)}"))
        await self._tasks.start(self._run, worker)
        self.workers.append(worker)
        return worker

    async def _run(self, worker: Worker, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        app = make_app()
        tasks = SharedTasks(self.log, worker.directory)  # type: ignore[arg-type]
        engine = Engine(
            app,
            app.topology(),
            self.log,
            SystemClock(),
            worker.directory.open,
            tasks,  # type: ignore[arg-type]
        )
        worker.engine = engine
        try:
            with worker.scope:
                async with app.entered(engine):
                    task_status.started()
                    await worker.leave.wait()
        finally:
            worker.gone.set()

    async def remove(self, worker: Worker) -> None:
        """Stop a worker in order."""
        worker.leave.set()
        await worker.gone.wait()
        self.workers.remove(worker)

    async def kill(self, worker: Worker) -> None:
        """Cut a worker off; what it had not committed is lost."""
        worker.scope.cancel()
        await worker.gone.wait()
        self.workers.remove(worker)

    def expel(self, worker: Worker) -> None:
        """Have the group take a worker for dead that goes on working."""
        assert isinstance(worker.engine.tasks, SharedTasks)
        member = worker.engine.tasks.membership
        assert isinstance(member, Member)
        self.group.expel(member)

    async def send(self, number: int) -> None:
        """Send an order for each of some keys."""
        producer = await self.log.producer()
        records: dict[TopicPartition, list[NewRecord]] = {}
        for index in range(number):
            key = f"key-{index % 17}"
            self.sent[key] += 1
            partition = TopicPartition("orders", index % 17 % PARTITIONS)
            records.setdefault(partition, []).append(NewRecord(key.encode(), b"1", 1))
        await producer.append(records)

    async def shared_out(self) -> None:
        """Wait until every task runs at one worker, none at two, and all have about as many."""
        with anyio.move_on_after(5):
            while not self._is_shared_out():  # noqa: ASYNC110 - many things have to come together
                await anyio.sleep(0.002)
        assert self._is_shared_out(), [sorted(worker.runners()) for worker in self.workers]

    def _is_shared_out(self) -> bool:
        running = [
            partition
            for worker in self.workers
            for partition, runner in worker.runners().items()
            if runner.ready.is_set()
        ]
        counts = [len(worker.runners()) for worker in self.workers]
        return (
            not self.group.rebalancing
            and sorted(running) == list(range(PARTITIONS))
            and max(counts) - min(counts) <= 1
        )

    async def settled(self) -> None:
        """Wait until all that was sent is counted and committed."""
        await self.shared_out()
        with anyio.fail_after(10):
            for worker in self.workers:
                await worker.engine.settle()

    async def counts(self) -> dict[str, list[int]]:
        """Return the counts that were sent on, by key, in order."""
        partition = TopicPartition("counted", 0)
        end = (await self.log.end_offsets([partition]))[partition]
        reader = self.log.reader()
        reader.assign({partition: 0})
        found: dict[str, list[int]] = {}
        position = 0
        while position < end:
            for fetched in await reader.read():
                for record in fetched.records:
                    found.setdefault(record.key.decode(), []).append(int(record.value))
                position = fetched.next_offset
        await reader.aclose()
        return found

    async def check(self) -> None:
        """Each order was counted once, and each count sent on once, in order."""
        await self.settled()
        expected = {key: list(range(1, number + 1)) for key, number in self.sent.items()}
        assert await self.counts() == expected


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with (
        EmbeddedLog.open("memory", disk=MemoryDisk()) as log,
        anyio.create_task_group() as tasks,
    ):
        yield World(SharedMemoryLog(log), tasks)
        tasks.cancel_scope.cancel()


async def test_tasks_are_shared_out_and_counted_once() -> None:
    async with world() as w:
        first = await w.add()
        await w.send(100)
        await w.check()
        second = await w.add()
        await w.shared_out()
        assert len(first.runners()) == len(second.runners()) == PARTITIONS // 2
        await w.send(100)
        await w.check()


async def test_tasks_that_do_not_move_are_not_touched() -> None:
    async with world() as w:
        first = await w.add()
        await w.shared_out()
        before = first.runners()
        await w.add()
        await w.shared_out()
        after = first.runners()
        assert len(after) == PARTITIONS // 2
        assert all(before[partition] is runner for partition, runner in after.items())


async def test_who_stops_hands_over_with_all_committed() -> None:
    async with world() as w:
        first, second = await w.add(), await w.add()
        await w.send(300)
        await w.remove(first)
        await w.shared_out()
        assert len(second.runners()) == PARTITIONS
        await w.send(300)
        await w.check()


async def test_a_worker_without_a_task_stays_ready() -> None:
    async with world() as w:
        for _ in range(PARTITIONS + 2):
            await w.add()
        await w.shared_out()
        idle = next(worker for worker in w.workers if not worker.runners())
        for worker in list(w.workers):
            if worker is not idle:
                await w.remove(worker)
        await w.shared_out()
        await w.send(50)
        await w.check()
        assert len(idle.runners()) == PARTITIONS


async def test_a_zombie_commits_nothing_and_comes_back_as_a_new_member() -> None:
    async with world() as w:
        zombie, other = await w.add(), await w.add()
        await w.send(200)
        w.expel(zombie)
        await w.send(200)
        await w.check()
        assert zombie.runners()
        assert other.runners()


@pytest.mark.parametrize("seed", range(12))
async def test_through_any_coming_and_going_each_event_counts_once(seed: int) -> None:
    chance = random.Random(seed)
    async with world() as w:
        await w.add()
        for _ in range(25):
            act = chance.choice(["add", "remove", "kill", "expel", "send", "send", "wait"])
            if act == "add" and len(w.workers) < 5:
                await w.add()
            elif act in {"remove", "kill"} and len(w.workers) > 1:
                worker = chance.choice(w.workers)
                await (w.remove(worker) if act == "remove" else w.kill(worker))
            elif act == "expel":
                w.expel(chance.choice(w.workers))
            elif act == "send":
                await w.send(chance.randrange(1, 60))
            else:
                await anyio.sleep(chance.random() / 50)
        await w.check()
