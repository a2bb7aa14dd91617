"""The stores of one task, between the store of bytes, the changelogs and the task's agents."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from ...log.model import Appended, NewRecord, Offset, Timestamp, TopicDescription, TopicPartition
from ...state.backend import Backend
from ...state.errors import StoreCorrupt
from ...state.meta import Position
from ...state.restore import ChangelogFacts
from ...state.task_state import TaskRestore, TaskState
from ..windowed import WindowedTable
from .task import Task

if TYPE_CHECKING:
    from .engine import Engine

RESTORE_BYTES = 4 << 20
"""How much is read from changelogs at a time."""


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
        self._changelogs = {
            engine.topology.changelog(table): table for table in task.subtopology.tables
        }
        self._topics: Mapping[str, TopicDescription] = {}
        self._flush_at = 0
        self._state: TaskState | None = None

    async def open(self, closed: Mapping[str, int]) -> None:
        """Open the store and bring it up to its changelogs.

        Args:
            closed: by table, the start below which windows were closed by the last commit.

        Raises:
            StateError: the store is damaged beyond rebuilding, or changelog records are gone.
        """
        if not self._changelogs:
            return
        self._topics = await self._engine.log.describe_topics(self._changelogs)
        try:
            backend = await self._open_backend(rebuild=False)
        except StoreCorrupt as damage:
            self._engine.note(
                f"The store at {damage.path} is corrupt, and is rebuilt from its changelogs "
                f"({damage.problem})."
            )
            backend = await self._open_backend(rebuild=True)
        self._state = TaskState(
            backend,
            partitions=self._topics[next(iter(self._changelogs))].partitions,
            budget=self._engine.cache,
            where=self._task.name,
        )
        for changelog, table in self._changelogs.items():
            self._task.stores[table] = self._register(self._state, changelog, table)
        await self._restore(closed)
        self._flush_at = self._engine.clock.now() + self._engine.flush_interval_ms

    async def _open_backend(self, *, rebuild: bool) -> Backend:
        task = self._task
        return await self._engine.open_backend(
            task.subtopology.name, task.partition, rebuild=rebuild
        )

    def _register(self, state: TaskState, changelog: str, table: Any) -> Any:
        key, value = table.store_key_codec, table.value_codec
        if isinstance(table, WindowedTable):
            return state.windowed(
                table.name, changelog=changelog, key=key, value=value, window=str(table.windows)
            )
        return state.key_value(table.name, changelog=changelog, key=key, value=value)

    async def _restore(self, closed: Mapping[str, int]) -> None:
        assert self._state is not None
        now = self._engine.clock.now()
        restore = self._state.restore(await self._facts(self._state), now, closed)
        self.to_restore = restore.remaining
        if not restore.done:
            await self._catch_up(restore)
        restore.finish(self._engine.clock.now())
        self.restored = self.to_restore

    async def _catch_up(self, restore: TaskRestore) -> None:
        reader = self._engine.log.reader()
        try:
            reader.assign(
                {self._partition(changelog): at for changelog, at in restore.offsets.items()}
            )
            while not restore.done:
                for fetched in await reader.read(bytes_max=RESTORE_BYTES):
                    restore.feed(fetched)
                    if fetched.partition.topic not in restore.offsets:
                        reader.pause([fetched.partition])
                self.restored = self.to_restore - restore.remaining
                await anyio.lowlevel.checkpoint()
        finally:
            await reader.aclose()

    async def _facts(self, state: TaskState) -> dict[str, ChangelogFacts]:
        log = self._engine.log
        partitions = [self._partition(changelog) for changelog in self._changelogs]
        starts = await log.start_offsets(partitions)
        ends = await log.end_offsets(partitions)
        facts = {}
        for partition in partitions:
            name = partition.topic
            config = self._topics[name].config
            epoch_end = -1
            if name in state.positions:
                epoch = state.positions[name].leader_epoch
                epoch_end = await log.epoch_end_offset(partition, epoch)
            facts[name] = ChangelogFacts(
                partition,
                self._topics[name].topic_id,
                starts[partition],
                ends[partition],
                epoch_end,
                expires="delete" in config.get("cleanup.policy", "delete"),
                tombstone_retention_ms=int(config.get("delete.retention.ms", 86_400_000)),
            )
        return facts

    @property
    def dirty_count(self) -> int:
        """How many keys the next commit writes, about."""
        return 0 if self._state is None else self._state.dirty_count

    def drain(self, now: Timestamp) -> dict[TopicPartition, list[NewRecord]]:
        """Return the changelog records of this commit."""
        if self._state is None:
            return {}
        drained: Mapping[str, list[Any]] = self._state.drain(now)
        return {self._partition(changelog): records for changelog, records in drained.items()}

    def apply(self, appended: Mapping[TopicPartition, Appended]) -> None:
        """Write what was drained to the store, now that the log has it."""
        if self._state is None:
            return
        positions = {
            name: Position(self._topics[name].topic_id, at.leader_epoch, at.next_offset)
            for name in self._changelogs
            if (at := appended.get(self._partition(name))) is not None
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
        if self._state is not None:
            state, self._state = self._state, None
            await anyio.to_thread.run_sync(state.close)

    def _partition(self, changelog: str) -> TopicPartition:
        return TopicPartition(changelog, self._task.partition)
