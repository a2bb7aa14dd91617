"""The commits of a task, one after another: events are processed for the next while one is under way.

    begin ─► one transaction: outputs, changelog records, input offsets ─► store ─► done

What is committed is taken when a commit begins, while all agents are idle. The state layer keeps what was
drained readable until it is applied, with the changes of the next commit above it. So a task waits for
the log only if its commits take longer than the work between them.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import anyio
import anyio.abc

from ...log.interface import RecordsByPartition, TransactionalProducer
from ...log.model import CommittedOffset, Offset, TopicPartition
from .crew import Crew
from .task import Task
from .task_stores import TaskStores

if TYPE_CHECKING:
    from .engine import Engine

OUTPUTS_MAX: Final = 100_000
"""Outgoing records after which a task commits before its interval is over."""

DIRTY_MAX: Final = 50_000
"""Changed keys after which a task commits before its interval is over."""

COMMIT_RARITY: Final = 10
"""How many times as long as a commit takes the work between two commits lasts at least."""

PURGE_EVERY = 100_000
"""Offsets of a repartition topic that are consumed before they are deleted from the log."""


class Commits:
    """When and how a task commits.

    Attributes:
        committed: up to where each input is processed and committed.
        affirm_at: when to commit at the latest, though nothing be new: brokers forget old offsets.
    """

    def __init__(self, engine: "Engine", task: Task, stores: TaskStores, crew: Crew) -> None:
        self.committed: Mapping[TopicPartition, CommittedOffset] = {}
        self._engine = engine
        self._task = task
        self._stores = stores
        self._crew = crew
        self._clock = engine.clock
        self._group = engine.topology.group(task.subtopology)
        self._asked = False
        self._under_way: anyio.Event | None = None  # set when that commit is done
        self._took_ms = 0
        self._purged: dict[TopicPartition, Offset] = {}
        self._producer: TransactionalProducer
        self.affirm_at = self._next_affirmation()

    async def open(self) -> Mapping[TopicPartition, CommittedOffset]:
        """Become the one that commits for this task; return what was committed before."""
        self._producer = await self._engine.tasks.producer(f"{self._group}.{self._task.partition}")
        sources = [source.partition for source in self._task.inputs]
        return await self._engine.log.committed_offsets(self._group, sources)

    def ask(self) -> None:
        """Have a commit before the interval is over."""
        self._asked = True

    def is_due(self) -> bool:
        """Whether it is time to begin one."""
        now = self._clock.now()
        return (
            self._asked
            or now >= self._crew.pause_at
            or (self.affirm_at is not None and now >= self.affirm_at)
            or self._stores.dirty_count >= DIRTY_MAX
            or self._task.outputs.count() >= OUTPUTS_MAX
        )

    @property
    def is_under_way(self) -> bool:
        """Whether one was begun that is not done."""
        return self._under_way is not None

    async def done(self) -> None:
        """Wait for the one that is under way, if there is one."""
        if self._under_way is not None:
            await self._under_way.wait()

    def due_after_this(self) -> int:
        """Return when to commit again after one that begins now and takes as long as the last one."""
        return self._due_after(self._took_ms)

    def begin(self, tasks: anyio.abc.TaskGroup) -> bool:
        """Begin to make all that is processed durable, unless nothing is new.

        None may be under way. Its failure is that of the task group.
        """
        self._asked = False
        began = self._clock.now()
        progress = self._task.progress(self._crew)
        changes = self._stores.drain(began)
        records = self._task.outputs.take()
        is_same = progress.offsets == self.committed and not changes and not records
        if is_same and (self.affirm_at is None or began < self.affirm_at):
            self._stores.rollback()
            return False
        self._under_way = anyio.Event()
        self._task.meta = progress.meta
        tasks.start_soon(self._carry_out, began, records, changes, progress.offsets)
        return True

    async def _carry_out(
        self,
        began: int,
        records: RecordsByPartition,
        changes: RecordsByPartition,
        offsets: Mapping[TopicPartition, CommittedOffset],
    ) -> None:
        """Commit, then apply the changes to the store."""
        assert self._under_way is not None
        with anyio.CancelScope(shield=True):
            appended = await self._producer.commit(
                {**records, **changes}, group=self._group, offsets=offsets
            )
            self._stores.apply(appended)
        self.committed = dict(offsets)
        self.affirm_at = self._next_affirmation()
        self._engine.metrics.committed(self._task)
        await self._stores.flush_if_due()
        await self._purge_repartitioned()
        self._took_ms = self._clock.now() - began
        self._crew.pause_at = self._due_after(self._took_ms if changes else 0)
        self._under_way.set()
        self._under_way = None

    def _due_after(self, took_ms: int) -> int:
        """Return when to commit next: after the interval, or when that would cost too much, later.

        Under load many changes of a key fit into one commit, so rarer ones are cheaper: commits of
        table changes, which took `took_ms`, get about a tenth of the time. The interval is exceeded
        at most tenfold.
        """
        interval_ms = self._engine.commit_interval_ms
        wait_ms = max(interval_ms, min(took_ms * COMMIT_RARITY, interval_ms * 10))
        return self._clock.now() + wait_ms

    def _next_affirmation(self) -> int | None:
        interval_ms = self._engine.tasks.affirm_interval_ms
        return None if interval_ms is None else self._clock.now() + interval_ms

    async def _purge_repartitioned(self) -> None:
        """Delete what was consumed of the task's repartition topics, by all their consumers."""
        for source in self._task.inputs:
            partition, offset = source.partition, self.committed[source.partition].offset
            purged = self._purged.setdefault(partition, offset)
            if source.topic.upstream is not None and offset - purged >= PURGE_EVERY:
                self._purged[partition] = offset
                await self._engine.purge(source.topic, partition)
