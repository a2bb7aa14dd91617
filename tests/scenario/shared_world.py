"""Workers of an app that counts orders, in one process, on a log and a group in memory; what befalls them is up to tests.

Time does not matter here: what is waited for are things that have to come together.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import anyio
import anyio.abc
import millpond as mp
from millpond.log.embedded import EmbeddedLog
from millpond.log.model import NewRecord, Offset, TopicPartition
from millpond.log.shell.memory_disk import MemoryDisk
from millpond.state.backend import Backend
from millpond.state.memory import MemoryBackend
from millpond.streams.engine.assignor import TaskId
from millpond.streams.engine.clock import SystemClock
from millpond.streams.engine.engine import Engine
from millpond.streams.engine.runner import TaskRunner
from millpond.streams.engine.sharing import SharedTasks
from millpond.tests.twins.shared_log import Group, Member, SharedMemoryLog

PARTITIONS = 6
SETTINGS = mp.Settings()


class Handled(NamedTuple):
    """That a worker's agent had an event in hand."""

    worker: str
    partition: int
    offset: Offset


class Stores(Protocol):
    """Where a worker has its stores, as `StoreDirectories` offers it."""

    @property
    def identity(self) -> str: ...
    async def open(self, subtopology: str, partition: int, *, rebuild: bool) -> Backend: ...
    def warm(self) -> Mapping[TaskId, int]: ...
    def keep(self, tasks: Iterable[TaskId]) -> None: ...
    async def close_kept(self) -> None: ...


class Disk(MemoryBackend):
    """A task's store, in memory, that tells when it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = False

    def close(self) -> None:
        super().close()
        self.is_open = False


class Directory:
    """A worker's stores, in memory. One that is still being closed is waited for, as with RocksDB's lock."""

    def __init__(self, name: str) -> None:
        self.identity = name
        self._disks: dict[TaskId, Disk] = {}

    async def open(self, subtopology: str, partition: int, *, rebuild: bool) -> Backend:
        disk = self._disks.setdefault(TaskId(subtopology, partition), Disk())
        while disk.is_open:  # noqa: ASYNC110 - it is closed in a thread
            await anyio.sleep(0.001)
        disk.reopen()
        disk.is_open = True
        return disk

    def warm(self) -> dict[TaskId, int]:
        return {}

    def keep(self, tasks: Iterable[TaskId]) -> None:
        pass

    async def close_kept(self) -> None:
        pass


@dataclass
class Worker:
    """A worker that runs, in a task of its own."""

    name: str
    directory: Stores
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    leave: anyio.Event = field(default_factory=anyio.Event)
    gone: anyio.Event = field(default_factory=anyio.Event)
    engine: Engine = field(init=False)

    def runners(self) -> dict[int, TaskRunner]:
        return {runner.task.partition: runner for runner in self.engine.runners}


class World:
    """Some workers on one log.

    Attributes:
        handled: what agents had in hand, in order; again if it was not committed.
        gates: by key, what agents wait for before they count an order of it.
    """

    def __init__(
        self,
        log: SharedMemoryLog,
        tasks: anyio.abc.TaskGroup,
        settings: mp.Settings,
        directory: Callable[[str], Stores],
    ) -> None:
        self.log = log
        self.workers: list[Worker] = []
        self.sent: Counter[str] = Counter()
        self.handled: list[Handled] = []
        self.gates: dict[str, anyio.Event] = {}
        self._tasks = tasks
        self._settings = settings
        self._directory = directory
        self._started = 0

    @property
    def group(self) -> Group:
        return self.log.group("shop")

    async def add(self) -> Worker:
        name = f"worker-{self._started}"
        self._started += 1
        worker = Worker(name, self._directory(name))
        await self._tasks.start(self._run, worker)
        self.workers.append(worker)
        return worker

    async def _run(self, worker: Worker, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        app = self._app(worker.name)
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

    def _app(self, worker: str) -> mp.App:
        """Return an app that counts what comes, by key, and sends each count on."""
        app = mp.App("shop", settings=self._settings)
        orders = app.topic("orders", key=str, value=int, partitions=PARTITIONS)
        counted = app.topic("counted", key=str, value=int, partitions=1)
        counts = app.Table("counts", key=str, value=int, default=int)

        @app.agent(orders)
        async def count(stream: mp.Stream[int]) -> None:
            async for event in stream.events():
                self.handled.append(Handled(worker, event.partition.partition, event.offset))
                if event.key in self.gates:
                    await self.gates[event.key].wait()
                counts[event.key] += event.value
                await counted.send(key=event.key, value=counts[event.key])

        return app

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
        """Send orders, in turns for each of some keys."""
        await self.order(*(f"key-{index % 17}" for index in range(number)))

    async def order(self, *keys: str) -> None:
        """Send an order for each of these keys: ``name-5`` is in partition 5, and so are ``-11`` and ``-17``."""
        producer = await self.log.producer()
        records: dict[TopicPartition, list[NewRecord]] = {}
        for key in keys:
            self.sent[key] += 1
            partition = TopicPartition("orders", int(key.rpartition("-")[2]) % PARTITIONS)
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
async def world(
    settings: mp.Settings = SETTINGS, directory: Callable[[str], Stores] = Directory
) -> AsyncIterator[World]:
    """Make a log without workers; in the end, cut off those that are left."""
    async with (
        EmbeddedLog.open("memory", disk=MemoryDisk()) as log,
        anyio.create_task_group() as tasks,
    ):
        yield World(SharedMemoryLog(log), tasks, settings, directory)
        tasks.cancel_scope.cancel()
