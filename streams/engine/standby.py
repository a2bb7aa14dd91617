"""A copy of a task's state on another machine than the task's: follows the changelogs until it is needed.

    open ─► (plan ─► read, apply, and now and then: learn the ends and what is closed, flush)… ─► close

It is written as a restore would write it, into the directory in which the task's store would be. So who takes
the task over here just opens that, and reads on from where the copy came to, which is the tail.

What distinguishes it from a restore is that it must not seem old: a store that was not up to date
for longer than deletions are kept in the changelog starts over. So ends are captured now and then, and
the copy is as of then once it has read that far, though nothing were written. And windows that
the task closes are not deleted by changelog records but told by its committed progress; they are
looked up there, or the copy would grow for ever.
"""

from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread

from ...log.errors import OffsetOutOfRange
from ...log.model import Fetched, Offset, TopicPartition
from ...state.errors import StateError
from ...state.task_state import TaskRestore
from ..topology import Subtopology
from .local_state import RESTORE_BYTES, LocalState
from .task import read_meta

if TYPE_CHECKING:
    from .engine import Engine


class Standby:
    """Keeps a copy of a task's state.

    Attributes:
        lag: how many offsets of the changelogs are not read, as far as it has learned their ends.
        record_count: how many records it has read since it began.
    """

    def __init__(self, engine: "Engine", subtopology: Subtopology, partition: int) -> None:
        self.lag: Offset = 0
        self.record_count = 0
        self._engine = engine
        self._subtopology = subtopology
        self._name = f"{subtopology.name}[{partition}]"
        self._sources = [TopicPartition(topic.name, partition) for topic in subtopology.sources]
        self._local = LocalState(engine, subtopology, partition)

    async def run(self) -> None:
        """Follow until cancelled. If the copy can't be kept, say so and return: the task does not need it.

        Raises:
            LogError: the log can't be read.
        """
        try:
            await self._local.open()
            while True:
                await self._follow()
        except StateError as error:
            self._engine.note(f"The copy of the state of task {self._name} is given up: {error}")
        finally:
            with anyio.CancelScope(shield=True):
                await self._local.aclose()

    async def _follow(self) -> None:
        """Follow the changelogs until they no longer have what comes next."""
        restore = await self._local.begin(await self._closed())
        clock, look_at = self._engine.clock, 0
        reader = self._local.reader(restore.positions)
        try:
            while True:
                fetched: list[Fetched] = []
                with clock.move_on_after(look_at - clock.now()):
                    fetched = await reader.read(bytes_max=RESTORE_BYTES)
                for each in fetched:
                    restore.feed(each)
                self.record_count = restore.record_count
                self.lag = restore.remaining
                if clock.now() >= look_at:
                    await self._look_up(restore)
                    look_at = clock.now() + self._engine.flush_interval_ms
                await anyio.lowlevel.checkpoint()
        except OffsetOutOfRange:
            return
        finally:
            await reader.aclose()

    async def _look_up(self, restore: TaskRestore) -> None:
        """Learn how far the changelogs and the task are by now, and make the copy durable."""
        now = self._engine.clock.now()
        ends = {partition.topic: end for partition, end in (await self._local.ends()).items()}
        restore.extend_to(ends, now, await self._closed())
        self.lag = restore.remaining
        await anyio.to_thread.run_sync(self._local.state.backend.flush)

    async def _closed(self) -> dict[str, int]:
        """Return, by table, the start below which the task has closed its windows."""
        closed: dict[str, int] = {}
        if self._subtopology.windowed:
            group = self._engine.topology.group(self._subtopology)
            committed = await self._engine.log.committed_offsets(group, self._sources)
            for partition, at in committed.items():
                if at.metadata:
                    closed |= read_meta(at.metadata, partition).closed
        return closed
