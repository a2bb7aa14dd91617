"""The log in this process: the broker's own storage and coordinators, without sockets.

    async with EmbeddedLog.open("data/log") as log:
        ...

Whatever is decided, `broker` decides, deterministically; here are the clock, the threads that sync,
and the tasks that wait. A change that needs several syncs is a generator of steps (`broker/steps.py`);
`run` goes through it and lets the flusher sync many of them together.

The files are Kafka's: `millpond broker` serves the same directory.
"""

import uuid
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import anyio
import anyio.lowlevel
import anyio.to_thread

from .broker.checkpoints import write_recovery_points
from .broker.existence import let_grow, remove_topics
from .broker.growth import more_partitions
from .broker.opening import open_broker
from .broker.waits import Aside, Change, Exclusive, Flush, Handling, Promise, Quiet
from .errors import ConfigError, DiskFailed, LogError, OffsetOutOfRange
from .model import (
    CommittedOffset,
    Isolation,
    Offset,
    Timestamp,
    TopicDescription,
    TopicPartition,
    TopicSpec,
)
from .shell.clock import Clock, SystemClock
from .shell.disk import RealDisk
from .shell.flusher import Durability, Flusher, Syncable
from .shell.lock import DirectoryLock, directory_for_reading, prepare_directory
from .shell.producer import EmbeddedProducer, EmbeddedTransactionalProducer
from .shell.reader import EmbeddedReader
from .shell.upkeep import clean_partitions
from .shell.wakeups import Wakeups
from .storage.disk import Disk
from .storage.partition_log import PartitionLog

T = TypeVar("T")

TRANSACTION_TIMEOUT_MS = 60_000
UPKEEP_INTERVAL_S = 30.0


class EmbeddedLog:
    """A `Log` on a directory that belongs to this process. Open it with `open`.

    A server shares its parts: `broker` and the coordinators, `flusher`, `wakeups`, and two locks.
    Whoever removes or compacts holds `removing`; whoever changes which topics exist, or how they are
    set, holds `changing`, after the other one if it needs both.
    """

    def __init__(
        self,
        disk: Disk,
        *,
        root: Path | None,
        durability: Durability,
        read_only: bool,
        clock: Clock,
        flush_interval_s: float = 0.1,
    ) -> None:
        """Open what is on the disk; `open` does that at the right time and in the right place."""
        self.disk = disk
        self._root = root
        self._clock = clock
        self.read_only = read_only
        self.durable_reads = durability == "fsync" and not read_only
        self.wakeups = Wakeups()
        self.flusher = Flusher(
            durability, on_flushed=self._on_flushed, root=root, interval_s=flush_interval_s
        )
        self.changing = anyio.Lock(fast_acquire=True)
        self.removing = anyio.Lock(fast_acquire=True)
        self._transactional_ids: dict[str, anyio.Lock] = {}
        self._load()

    @staticmethod
    @asynccontextmanager
    async def open(
        directory: str | Path,
        *,
        durability: Durability = "fsync",
        read_only: bool = False,
        disk: Disk | None = None,
        clock: Clock | None = None,
        flush_interval_s: float = 0.1,
        upkeep_interval_s: float = UPKEEP_INTERVAL_S,
        retention_interval_s: float = 0.0,
    ) -> "AsyncIterator[EmbeddedLog]":
        """Open a directory, making it if it is missing.

        Args:
            directory: where the log is kept. Ignored when `disk` is given.
            durability: when an append or commit returns: ``fsync``, when it is on disk (many share
                one sync); ``interval``, at once, and it is on disk within `flush_interval_s`; ``os``,
                at once, and the operating system writes it when it likes.
            read_only: look at what is on disk, while another process may be writing. See `refresh`.
            disk: another kind of disk, such as one in memory.
            clock: another clock.
            flush_interval_s: see ``interval``.
            upkeep_interval_s: how often retention and compaction look for work.
            retention_interval_s: how often retention does, if not each time.

        Raises:
            ConfigError: the directory can't be used.
            LogLocked: another process has opened it.
            CorruptRecord: bytes that were once durable are damaged.
        """
        if durability not in get_args(Durability):
            raise ConfigError(
                f"durability {durability!r} won't do: use {', '.join(get_args(Durability))}"
            )
        root, lock = None, None
        if disk is None:
            root = directory_for_reading(directory) if read_only else prepare_directory(directory)
            lock = None if read_only else DirectoryLock(root)
        try:
            make = partial(
                EmbeddedLog,
                disk or RealDisk(directory),
                root=root,
                durability=durability,
                read_only=read_only,
                clock=clock or SystemClock(),
                flush_interval_s=flush_interval_s,
            )
            log = make() if root is None else await anyio.to_thread.run_sync(make)
            async with log.running(upkeep_interval_s, retention_interval_s):
                yield log
        finally:
            if lock is not None:
                lock.release()

    @asynccontextmanager
    async def running(
        self, upkeep_interval_s: float, retention_interval_s: float = 0.0
    ) -> AsyncIterator[None]:
        """Let the background tasks run; close the log at the end."""
        failed: Exception | None = None
        try:
            async with anyio.create_task_group() as tasks:
                if not self.read_only:
                    tasks.start_soon(self.flusher.run)
                    tasks.start_soon(self._keep_up, upkeep_interval_s, retention_interval_s)
                try:
                    yield
                except Exception as error:  # noqa: BLE001 - raised below, not wrapped in a group
                    failed = error
                tasks.cancel_scope.cancel()
        finally:
            await self.flusher.close()
            self.wakeups.wake_all()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._close)
        if failed is not None:
            raise failed

    # -- topics --------------------------------------------------------------------------------

    async def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        self.check_writable()
        async with self.changing:  # else a topic might be made while its namesake is removed
            growth = self.broker.plan_topics(specs)
            with anyio.CancelScope(shield=True):
                await self.run(let_grow(self.broker, growth, self.now()))

    async def add_partitions(self, counts: Mapping[str, int]) -> None:
        """Let topics have this many partitions. All or none.

        Raises:
            UnknownTopic, ConfigError: of one of them.
        """
        self.check_writable()
        async with self.changing:
            growth = more_partitions(self.broker.metadata, counts)
            with anyio.CancelScope(shield=True):
                await self.run(let_grow(self.broker, growth, self.now()))

    async def alter_topics(self, configs: Mapping[str, Mapping[str, str]]) -> None:
        """Give topics these settings, and no others. All or none.

        Raises:
            UnknownTopic, ConfigError: of one of them.
        """
        self.check_writable()
        async with self.changing:
            self.broker.alter_topics(configs, self.now())

    async def delete_topics(self, names: Iterable[str]) -> None:
        self.check_writable()
        async with self.removing, self.changing:
            with anyio.CancelScope(shield=True):
                await self.run(
                    remove_topics(self.broker, self.group_offsets, list(names), self.now())
                )
        self.wakeups.wake_all()

    async def describe_topics(
        self, names: Iterable[str] | None = None
    ) -> dict[str, TopicDescription]:
        await anyio.lowlevel.checkpoint()
        topics = self.broker.metadata.topics
        if names is None:
            found = [topic for topic in topics.values() if not topic.internal]
        else:
            found = [topics[name] for name in names if name in topics]
        return {
            topic.name: TopicDescription(
                topic.name, topic.topic_id, topic.partitions, topic.config.given, topic.internal
            )
            for topic in found
        }

    # -- partitions ----------------------------------------------------------------------------

    async def delete_records(self, before: Mapping[TopicPartition, Offset]) -> None:
        self.check_writable()
        async with self.removing, self.flusher.quiet():
            logs = {partition: self.broker.writable(partition) for partition in before}
            for partition, log in logs.items():
                if not 0 <= before[partition] <= log.high_watermark:
                    start, end = log.log_start_offset, log.high_watermark
                    raise OffsetOutOfRange(partition, before[partition], start, end)
            for partition, log in logs.items():
                log.delete_before(before[partition])
        self.wakeups.wake(before)

    async def start_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, Offset]:
        await anyio.lowlevel.checkpoint()
        return {each: self.broker.partition(each).log_start_offset for each in partitions}

    async def end_offsets(
        self,
        partitions: Iterable[TopicPartition],
        isolation: Isolation = Isolation.READ_COMMITTED,
    ) -> dict[TopicPartition, Offset]:
        await anyio.lowlevel.checkpoint()
        return {each: self.broker.partition(each).end_for(isolation) for each in partitions}

    async def offsets_for_times(
        self, times: Mapping[TopicPartition, Timestamp]
    ) -> dict[TopicPartition, Offset | None]:
        await anyio.lowlevel.checkpoint()
        return {
            partition: self.broker.partition(partition).offset_for_time(timestamp)
            for partition, timestamp in times.items()
        }

    async def epoch_end_offset(self, partition: TopicPartition, leader_epoch: int) -> Offset:
        await anyio.lowlevel.checkpoint()
        return self.broker.partition(partition).epoch_end_offset(leader_epoch)

    # -- groups --------------------------------------------------------------------------------

    async def groups(self) -> list[str]:
        await anyio.lowlevel.checkpoint()
        return self.group_offsets.groups()

    async def committed_offsets(
        self, group: str, partitions: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, CommittedOffset]:
        await anyio.lowlevel.checkpoint()
        found = self.group_offsets.committed(group, partitions)
        await self.run(self.group_offsets.settled(group))
        return found

    async def commit_offsets(
        self, group: str, offsets: Mapping[TopicPartition, CommittedOffset]
    ) -> None:
        self.check_writable()
        await self.run(self.group_offsets.commit(group, offsets, self.now()))

    async def delete_groups(self, names: Iterable[str]) -> None:
        self.check_writable()
        await self.run(self.group_coordinator.forget(names, self.now()))

    # -- readers and producers -----------------------------------------------------------------

    def reader(self, isolation: Isolation = Isolation.READ_COMMITTED) -> EmbeddedReader:
        return EmbeddedReader(lambda: self.broker, self.wakeups, self.flusher.check, isolation)

    async def producer(self) -> EmbeddedProducer:
        self.check_writable()
        await anyio.lowlevel.checkpoint()
        return EmbeddedProducer(self, self.broker.new_producer_id(self.now()))

    async def transactional_producer(self, transactional_id: str) -> EmbeddedTransactionalProducer:
        self.check_writable()
        lock = self._transactional_ids.setdefault(transactional_id, anyio.Lock(fast_acquire=True))
        async with lock:
            with anyio.CancelScope(shield=True):
                owner = await self.run(
                    self.transactions.init(
                        transactional_id, timeout_ms=TRANSACTION_TIMEOUT_MS, now=self.now()
                    )
                )
        return EmbeddedTransactionalProducer(self, owner, lock)

    async def refresh(self) -> None:
        """With `read_only`: look again at what is on disk by now."""
        if not self.read_only:
            return
        replaced = self.broker
        await anyio.to_thread.run_sync(self._load)
        replaced.abandon()
        self.wakeups.wake_all()

    # -- what producers and the flusher use ----------------------------------------------------

    def now(self) -> Timestamp:
        return self._clock.now()

    def check_writable(self) -> None:
        """Raise when nothing can be written, or not any more."""
        if self.read_only:
            raise LogError("this log is open for reading only, so nothing can be changed")
        self.flusher.check()

    async def run(self, handling: Handling[T]) -> T:
        """Go through the steps; between them, wait until what they name is durable.

        Of the waits of handlers it knows only those for the disk: logs, `Quiet` and `Aside`.

        Raises:
            DiskFailed: the steps were left where they were.
        """
        touched: set[PartitionLog] = set()
        result: Any = None
        try:
            while True:
                wait = handling.send(result)
                if isinstance(wait, Quiet):
                    async with self.flusher.quiet():
                        result = wait.act()
                    continue
                if isinstance(wait, Aside):
                    result = await anyio.to_thread.run_sync(wait.act)
                    continue
                assert not isinstance(wait, Flush | Change | Promise | Exclusive), wait
                touched.update(wait)
                if not self.durable_reads:
                    self._wake(wait)
                await self.flusher.sync(wait)
                result = None
        except StopIteration as done:
            result = done.value
        finally:
            handling.close()
        self._wake(touched)
        if not (self.durable_reads and self._root):
            # Nothing was waited for, but others want to run; what is done can't be cancelled any more.
            await anyio.lowlevel.cancel_shielded_checkpoint()
        return cast("T", result)

    def _on_flushed(self, logs: Collection[Syncable]) -> None:
        if self.flusher.failed is not None:
            self.wakeups.wake_all()
        elif self.durable_reads:
            self._wake(log for log in logs if isinstance(log, PartitionLog))

    def _wake(self, logs: Iterable[PartitionLog]) -> None:
        self.wakeups.wake(log.partition for log in logs)

    # -- opening, upkeep, closing --------------------------------------------------------------

    def _load(self) -> None:
        self.broker, self.group_offsets, self.transactions, self.group_coordinator = open_broker(
            self.disk,
            now=self.now(),
            new_topic_id=uuid.uuid4,
            durable_reads=self.durable_reads,
            read_only=self.read_only,
        )

    async def _keep_up(self, interval_s: float, retention_interval_s: float) -> None:
        """Do what is to be done from time to time, until cancelled or the disk fails."""
        retention_at = anyio.current_time()
        while self.flusher.failed is None:
            await anyio.sleep(interval_s)
            is_time = anyio.current_time() >= retention_at
            if is_time:
                retention_at = anyio.current_time() + retention_interval_s
            try:
                await clean_partitions(
                    self.broker,
                    self.flusher,
                    self.now,
                    self.wakeups.wake,
                    self.removing,
                    retention=is_time,
                )
                await self.flusher.flush_idle(list(self.broker.partitions.values()))
                self.transactions.complete_marked(self.now())
                await self.run(self.transactions.abort_overdue(self.now()))
                await self._checkpoint()
            except DiskFailed as error:
                self.flusher.fail(error)

    async def _checkpoint(self) -> None:
        # Whoever creates a topic writes the same file, so that it says nothing of the topic's namesake.
        async with self.changing:
            write = partial(write_recovery_points, self.disk, self.broker.recovery_points())
            if self._root is None:
                write()
            else:
                await anyio.to_thread.run_sync(write)

    def _close(self) -> None:
        if self.flusher.failed is None:
            self.broker.close(self.now())
        else:
            self.broker.abandon()
