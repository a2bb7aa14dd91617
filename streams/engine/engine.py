"""What all tasks of a running app have in common, and how an app is brought up and down.

    open log ─► plan and create topics ─► load global tables ─► restore tasks ─► run ─► stop

The engine owns one task group. When anything in it fails, all of it stops: what was not committed
is forgotten, and comes again at the next start.
"""

import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio

from ...log.errors import TopicExists
from ...log.interface import Log
from ...log.model import Offset, TopicPartition
from ...state.backend import Backend
from ...state.cache import CacheBudget
from ..errors import StreamError
from ..flow import Bucket, Rate
from ..policy import Named
from ..settings import Settings
from ..table import GlobalTable, Table
from ..timestamps import duration_ms
from ..topic import Topic
from ..topology import Plan, Subtopology, Topology, plan
from .clock import Clock
from .global_copy import GlobalCopy
from .metrics import Metrics
from .outbox import Outbox
from .outputs import Outputs
from .questions import Questions
from .runner import TaskRunner
from .tasks import AllTasks, Tasks

if TYPE_CHECKING:
    from ..app import App


PLANS_MAX: Final = 8
PLAN_PAUSE_S: Final = 0.05
"""How often topics are planned anew when other workers create them meanwhile, and the first pause in between, which
doubles: a broker says that a topic exists before another one, or it itself, describes it."""


class OpenBackend(Protocol):
    """Opens the store of a task: a directory of RocksDB, or memory."""

    async def __call__(self, subtopology: str, partition: int, *, rebuild: bool) -> Backend: ...


class Engine:
    """A running app.

    Attributes:
        log: the log that the app runs on, for what the app's own API does not offer.
        topology: the app as data.
        tasks: those that this worker has.
        questions: the log, for what many tasks ask at the same time.
    """

    def __init__(
        self,
        app: "App",
        topology: Topology,
        log: Log,
        clock: Clock,
        open_backend: OpenBackend,
        tasks: Tasks | None = None,
    ) -> None:
        """Make an engine for one run of an app.

        Args:
            app: what is run.
            topology: the app as data.
            log: the log that it runs on.
            clock: tells the time.
            open_backend: opens the stores of tasks.
            tasks: which tasks this worker has; all of them by default.
        """
        settings: Settings = app.settings
        self.app = app
        self.settings = settings
        self.topology = topology
        self.log = log
        self.questions = Questions(log)
        self.clock = clock
        self.open_backend = open_backend
        self.tasks = tasks or AllTasks()
        self.commit_interval_ms = duration_ms(settings.commit_interval, what="commit_interval")
        self.flush_interval_ms = duration_ms(settings.flush_interval, what="flush_interval")
        self.cache = CacheBudget(settings.cache_memory_bytes)
        self.metrics = Metrics()
        self.random: Callable[[], float] = random.Random().random  # noqa: S311 - jitter
        self._copies: dict[GlobalTable[Any, Any], GlobalCopy] = {}
        self._buckets: dict[str, Bucket] = {}
        self._outbox: Outbox
        self._plan: Plan
        self._by_name: dict[str, Topic[Any, Any]] = {}

    @asynccontextmanager
    async def run(self) -> AsyncIterator["Engine"]:
        """Bring the app up, and on leaving bring it down in order.

        Raises:
            MillpondError: whatever ends the app. If several things fail at once, the first.
        """
        await self._prepare()
        async with anyio.create_task_group() as running:
            running.start_soon(self._outbox.run)
            for copy in self._copies.values():
                await copy.load(self.log)
                running.start_soon(copy.follow)
            async with anyio.create_task_group() as tasks:
                await tasks.start(self.tasks.run, self)
                for service in self.app.services():
                    running.start_soon(service)
                try:
                    yield self
                finally:
                    await self._stop(tasks.cancel_scope)
            await self._outbox.flush()
            running.cancel_scope.cancel()

    async def _prepare(self) -> None:
        names = [topic.name for topic in self.topology.topics]
        names += [
            self.topology.changelog(table)
            for sub in self.topology.subtopologies
            for table in sub.tables
        ]
        for attempt in range(PLANS_MAX):
            existing = await self.log.describe_topics(names)
            self._plan = plan(self.topology, existing, self.settings.partitions)
            try:
                await self.log.create_topics(self._plan.create)
                break
            except TopicExists:  # another worker starts at the same time
                if attempt == PLANS_MAX - 1:
                    raise
                await anyio.sleep(PLAN_PAUSE_S * 2**attempt)
        self._by_name = {topic.name: topic for topic in self.topology.topics}
        self._outbox = Outbox(await self.log.producer(), self.outputs())
        for table in self.topology.global_tables:
            self._copies[table] = GlobalCopy(table, self._plan.partitions[table.topic])

    async def _stop(self, scope: anyio.CancelScope) -> None:
        """Let each task finish its current event and commit; cut off those that take too long."""
        self.tasks.stop()
        timeout_ms = duration_ms(self.settings.shutdown_timeout, what="shutdown_timeout")
        scope.deadline = anyio.current_time() + timeout_ms / 1000

    def note(self, message: str) -> None:
        """Tell the operator something that needs no action."""
        logging.getLogger("millpond").warning(message)

    @property
    def runners(self) -> Sequence[TaskRunner]:
        """The tasks that this worker has now."""
        return self.tasks.runners

    def task_count(self, subtopology: Subtopology) -> int:
        """Return how many tasks a subtopology has, in all workers together."""
        return self._plan.tasks[subtopology.name]

    # For users of a running app.

    async def flush(self) -> None:
        """Return once everything that was sent outside agents is durable."""
        await self._outbox.flush()

    async def settle(self) -> None:
        """Return once all that is in the app's topics is processed and committed.

        That includes batches which are not full: it waits until `take` hands them out.
        """
        while True:
            await self.flush()
            if await self.is_settled() and not any(runner.held() for runner in self.runners):
                return
            await anyio.sleep(0.005)

    async def is_settled(self) -> bool:
        """Return whether all that is in the app's topics is processed and committed.

        Global tables have it, too. Events that `take` holds for a batch which is not full count as processed.
        """
        if not all(runner.is_settled for runner in self.runners):
            return False
        reached = [
            (source.partition, source.fetch_position)
            for runner in self.runners
            for source in runner.task.inputs
        ]
        for copy in self._copies.values():
            reached += copy.positions.items()
        positions: dict[TopicPartition, Offset] = {}
        for partition, position in reached:
            positions[partition] = min(position, positions.get(partition, position))
        ends = await self.log.end_offsets(positions)
        return all(positions[tp] >= end for tp, end in ends.items()) and all(
            runner.is_settled for runner in self.runners
        )

    def lag(self) -> dict[str, int]:
        """Return, for each subtopology, how many offsets of its sources are not processed."""
        lags = dict.fromkeys((sub.name for sub in self.topology.subtopologies), 0)
        for runner in self.runners:
            lags[runner.task.subtopology.name] += runner.task.lag()
        return lags

    # For topics, tables and runners.

    async def send(
        self,
        topic: Topic[Any, Any],
        key: Any,
        value: Any,
        timestamp: int | None,
        headers: Any,
        partition: int | None,
    ) -> None:
        """Send outside any agent."""
        time = self.clock.now() if timestamp is None else timestamp
        await self._outbox.send(topic, key, value, time, headers, partition)

    def bucket(self, agent: str, rate: Rate) -> Bucket:
        """Return the bucket that all tasks of an agent take from: a rate is the agent's, in all."""
        return self._buckets.setdefault(agent, Bucket(rate))

    async def purge(self, topic: Topic[Any, Any], partition: TopicPartition) -> None:
        """Delete from a partition what each subtopology that consumes its topic has committed."""
        done = []
        for sub in self.topology.subtopologies:
            if topic in sub.sources:
                group = self.topology.group(sub)
                committed = await self.log.committed_offsets(group, [partition])
                done.append(committed[partition].offset if partition in committed else 0)
        if min(done, default=0) > (await self.log.start_offsets([partition]))[partition]:
            await self.log.delete_records({partition: min(done)})

    def outputs(self) -> Outputs:
        return Outputs(self._plan.partitions, self.tasks.keyless_first)

    def topic_named(self, topic: str | Named) -> Topic[Any, Any]:
        """Return the topic that a policy means."""
        return topic if isinstance(topic, Topic) else self._by_name[str(topic)]

    def stores_of(self, table: Table[Any, Any]) -> Mapping[int, Any]:
        """Return a table's stores by partition."""
        return {
            runner.task.partition: runner.task.stores[table]
            for runner in self.runners
            if table in runner.task.stores
        }

    def partitions_of(self, table: Table[Any, Any]) -> int:
        """Return how many partitions a table has."""
        for sub in self.topology.subtopologies:
            if table in sub.tables:
                return self._plan.tasks[sub.name]
        raise StreamError(
            f"no agent of the app uses table {table.name!r}, so it holds nothing: "
            "write it in an agent, or name it with `tables=[…]`"
        )

    def global_copy(self, table: GlobalTable[Any, Any]) -> GlobalCopy:
        """Return the copy behind a global table."""
        return self._copies[table]
