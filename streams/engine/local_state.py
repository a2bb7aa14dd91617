"""A task's stores on this machine, and their way to the changelogs: for who runs the task, and for copies.

The stores are opened, and told what the log has of their changelogs; reading is up to the caller, as one
that runs the task reads to the end, and a copy goes on for ever.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from ...log.interface import Reader
from ...log.model import Isolation, Offset, TopicDescription, TopicPartition
from ...state.backend import Backend
from ...state.errors import StoreCorrupt
from ...state.restore import ChangelogFacts
from ...state.task_state import TaskRestore, TaskState
from ..topology import Subtopology
from ..windowed import WindowedTable

if TYPE_CHECKING:
    from .engine import Engine

RESTORE_BYTES = 4 << 20
"""How much is read from changelogs at a time."""


class LocalState:
    """Opens a task's stores, and begins to bring them up.

    Attributes:
        stores: the store of each table.
        state: all of them.
        topics: the changelogs as they were when the stores were opened.
    """

    def __init__(self, engine: "Engine", subtopology: Subtopology, partition: int) -> None:
        self.changelogs = {engine.topology.changelog(table): table for table in subtopology.tables}
        self.stores: dict[Any, Any] = {}
        self.state: TaskState
        self.topics: Mapping[str, TopicDescription] = {}
        self._engine = engine
        self._subtopology = subtopology.name
        self._number = partition
        self._is_open = False

    def partition(self, changelog: str) -> TopicPartition:
        """Return the task's partition of a changelog."""
        return TopicPartition(changelog, self._number)

    async def open(self) -> None:
        """Open the store of bytes, anew if it is corrupt, and the tables' stores in it.

        Raises:
            StateError: it can't be opened.
        """
        self.topics = await self._engine.questions.describe_topics(self.changelogs)
        try:
            backend = await self._open_backend(rebuild=False)
        except StoreCorrupt as damage:
            self._engine.note(
                f"The store at {damage.path} is corrupt, and is rebuilt from its changelogs "
                f"({damage.problem})."
            )
            backend = await self._open_backend(rebuild=True)
        self.state = TaskState(
            backend,
            partitions=self.topics[next(iter(self.changelogs))].partitions,
            budget=self._engine.cache,
            where=f"{self._subtopology}[{self._number}]",
        )
        self._is_open = True
        for changelog, table in self.changelogs.items():
            self.stores[table] = self._register(changelog, table)

    async def begin(self, closed: Mapping[str, int]) -> TaskRestore:
        """Begin to bring the stores up to the changelogs' ends of now, undecided transactions included.

        A reader of what is committed comes to that end when they are decided. So who takes a task over
        can't miss what its last owner's transaction is about to commit.

        Args:
            closed: by table, the start below which windows were closed by the last commit.

        Raises:
            ChangelogTruncated: records are gone that a store needs.
        """
        now = self._engine.clock.now()
        return self.state.restore(await self._facts(), now, closed)

    def reader(self, positions: Mapping[str, Offset]) -> Reader:
        """Return a reader of these changelogs, from these offsets."""
        reader = self._engine.log.reader()
        reader.assign({self.partition(changelog): at for changelog, at in positions.items()})
        return reader

    async def ends(
        self, isolation: Isolation = Isolation.READ_COMMITTED
    ) -> dict[TopicPartition, Offset]:
        """Return the ends of the changelogs."""
        partitions = map(self.partition, self.changelogs)
        return await self._engine.questions.end_offsets(partitions, isolation)

    async def aclose(self) -> None:
        """Flush and close."""
        self.stores.clear()
        if self._is_open:
            self._is_open = False
            await anyio.to_thread.run_sync(self.state.close)

    async def _open_backend(self, *, rebuild: bool) -> Backend:
        return await self._engine.open_backend(self._subtopology, self._number, rebuild=rebuild)

    def _register(self, changelog: str, table: Any) -> Any:
        state, key, value = self.state, table.store_key_codec, table.value_codec
        if isinstance(table, WindowedTable):
            return state.windowed(
                table.name, changelog=changelog, key=key, value=value, window=str(table.windows)
            )
        return state.key_value(table.name, changelog=changelog, key=key, value=value)

    async def _facts(self) -> dict[str, ChangelogFacts]:
        log, questions = self._engine.log, self._engine.questions
        starts = await questions.start_offsets(map(self.partition, self.changelogs))
        ends = await self.ends(Isolation.READ_UNCOMMITTED)
        positions = self.state.positions
        facts = {}
        for name, topic in self.topics.items():
            partition = self.partition(name)
            epoch_end = -1
            if name in positions:
                epoch_end = await log.epoch_end_offset(partition, positions[name].leader_epoch)
            facts[name] = ChangelogFacts(
                partition,
                topic.topic_id,
                starts[partition],
                ends[partition],
                epoch_end,
                expires="delete" in topic.config.get("cleanup.policy", "delete"),
                tombstone_retention_ms=int(topic.config.get("delete.retention.ms", 86_400_000)),
            )
        return facts
