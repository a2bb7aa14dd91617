"""The stores of one task that runs, between the store of bytes, the changelogs and the task's agents."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import anyio.lowlevel
import anyio.to_thread

from ...log.model import Appended, NewRecord, Offset, Timestamp, TopicPartition
from ...state.meta import Position
from ...state.task_state import TaskRestore, TaskState
from .local_state import RESTORE_BYTES, LocalState
from .task import Task

if TYPE_CHECKING:
    from .engine import Engine


class TaskStores:
    """Opens, restores, commits and closes what a task's tables hold.

    Attributes:
        restored, to_restore: changelog offsets that are read, and are to be, for progress bars.
    """

    def __init__(self, engine: "Engine", task: Task) -> None:
        self.restored: Offset = 0
        self.to_restore: Offset = 0
        self._engine = engine
        self._task = task
        self._local = LocalState(engine, task.subtopology, task.partition)
        self._flush_at = 0
        self._state: TaskState | None = None

    async def open(self, closed: Mapping[str, int]) -> None:
        """Open the store and bring it up to its changelogs.

        Args:
            closed: by table, the start below which windows were closed by the last commit.

        Raises:
            StateError: the store is damaged beyond rebuilding, or changelog records are gone.
        """
        if not self._local.changelogs:
            return
        await self._local.open()
        self._state = self._local.state
        self._task.stores.update(self._local.stores)
        await self._restore(closed)
        self._flush_at = self._engine.clock.now() + self._engine.flush_interval_ms

    async def _restore(self, closed: Mapping[str, int]) -> None:
        restore = await self._local.begin(closed)
        self.to_restore = restore.remaining
        if not restore.done:
            await self._catch_up(restore)
        restore.finish(self._engine.clock.now())
        self.restored = self.to_restore

    async def _catch_up(self, restore: TaskRestore) -> None:
        reader = self._local.reader(restore.offsets)
        try:
            while not restore.done:
                for fetched in await reader.read(bytes_max=RESTORE_BYTES):
                    restore.feed(fetched)
                    if fetched.partition.topic not in restore.offsets:
                        reader.pause([fetched.partition])
                self.restored = self.to_restore - restore.remaining
                await anyio.lowlevel.checkpoint()
        finally:
            await reader.aclose()

    @property
    def dirty_count(self) -> int:
        """How many keys the next commit writes, about."""
        return 0 if self._state is None else self._state.dirty_count

    def drain(self, now: Timestamp) -> dict[TopicPartition, list[NewRecord]]:
        """Return the changelog records of this commit."""
        if self._state is None:
            return {}
        drained: Mapping[str, list[Any]] = self._state.drain(now)
        return {self._local.partition(changelog): records for changelog, records in drained.items()}

    def apply(self, appended: Mapping[TopicPartition, Appended]) -> None:
        """Write what was drained to the store, now that the log has it."""
        if self._state is None:
            return
        positions = {
            name: Position(topic.topic_id, at.leader_epoch, at.next_offset)
            for name, topic in self._local.topics.items()
            if (at := appended.get(self._local.partition(name))) is not None
        }
        self._state.apply(positions, self._engine.clock.now())

    def rollback(self) -> None:
        """Forget what is not committed."""
        if self._state is not None:
            self._state.rollback()

    async def flush_if_due(self) -> None:
        """Make the store durable by itself now and then, so that a restart restores little."""
        now = self._engine.clock.now()
        if self._state is None or now < self._flush_at:
            return
        self._flush_at = now + self._engine.flush_interval_ms
        await anyio.to_thread.run_sync(self._state.backend.flush)

    async def aclose(self) -> None:
        """Flush and close."""
        self._task.stores.clear()
        self._state = None
        await self._local.aclose()
