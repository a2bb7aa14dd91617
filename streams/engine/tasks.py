"""Which tasks a worker has: all of them, when it is alone on its log; a share of them on a cluster (`sharing.py`)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.abc

from ...log.interface import TransactionalProducer
from .runner import TaskRunner

if TYPE_CHECKING:
    from .engine import Engine


class Tasks(Protocol):
    """A worker's tasks, as the engine sees them."""

    @property
    def runners(self) -> Sequence[TaskRunner]:
        """Those that it has now."""

    @property
    def keyless_first(self) -> int:
        """Where records without a key begin: workers should not all begin in the same partition."""

    @property
    def affirm_interval_ms(self) -> int | None:
        """How often progress is committed again though it is the same; None: never."""

    async def run(self, engine: "Engine", *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Run them until `stop`; report as started when the worker does what it is to do.

        Raises:
            MillpondError: of the first task that fails.
        """

    def stop(self) -> None:
        """Let each task finish its current event and commit, then return from `run`."""

    async def producer(self, task: str) -> TransactionalProducer:
        """Return what a task commits with; its name tells it from all others of the log."""


class AllTasks:
    """All tasks of the app, for as long as it runs."""

    def __init__(self) -> None:
        self.runners: list[TaskRunner] = []
        self.keyless_first = 0
        self.affirm_interval_ms: int | None = None
        self._engine: Engine

    async def run(self, engine: "Engine", *, task_status: anyio.abc.TaskStatus[None]) -> None:
        self._engine = engine
        self.runners = [
            TaskRunner(engine, sub, partition)
            for sub in engine.topology.subtopologies
            for partition in range(engine.task_count(sub))
        ]
        async with anyio.create_task_group() as group:
            for runner in self.runners:
                group.start_soon(runner.run)
            for runner in self.runners:
                await runner.ready.wait()
            task_status.started()

    def stop(self) -> None:
        for runner in self.runners:
            runner.stop()

    async def producer(self, task: str) -> TransactionalProducer:
        return await self._engine.log.transactional_producer(task)
