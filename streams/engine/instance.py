"""One agent at work on one task: the hand-over of runs between the task's runner and user code.

The agent runs in a task of its own, so user code may await what it likes; but it moves only between
`give` and `idle`. Whenever the runner acts (commits, closes windows, restores) every instance of the
task is idle: it has asked for its next run, and is not in the middle of an event.
"""

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import anyio

from ...log.model import Timestamp
from ..errors import AgentFailed, DecodeFailed, StreamError
from .clock import Clock
from .context import current
from .run import Run, empty_run

if TYPE_CHECKING:
    from ..agent import Agent
    from ..stream import Batch
    from .outputs import Outputs
    from .task import Task


class Instance:
    """One agent on one task.

    Attributes:
        run, index: the event that the agent is processing now; index -1 stands for all of them,
            which is where a batch begins.
        held: events that `take` has collected and not handed out yet.
        batch: the batch that the agent is processing now, if it takes batches.
        deadline: when `take` wants to hand out what it holds, in clock milliseconds.
        barrier_wanted: asks a loop that has more to do to come back for its next run first.
        failure: what ended the agent, if it has ended.
    """

    __slots__ = (
        "_given",
        "_idle",
        "_scope",
        "_stopped",
        "agent",
        "barrier_wanted",
        "batch",
        "clock",
        "deadline",
        "failure",
        "held",
        "index",
        "outputs",
        "run",
        "stores",
        "task",
    )

    def __init__(self, agent: "Agent", task: "Task", clock: Clock) -> None:
        self.agent = agent
        self.task = task
        self.stores: dict[Any, Any] = task.stores
        self.outputs: Outputs = task.outputs
        self.clock = clock
        self.run = empty_run(agent.source)
        self.index = -1
        self.held: list[tuple[Run, int]] = []
        self.batch: Batch[Any] | None = None
        self.deadline: Timestamp | None = None
        self.barrier_wanted = False
        self.failure: Exception | None = None
        self._given = anyio.Event()
        self._idle = anyio.Event()
        self._stopped = anyio.Event()
        self._scope = anyio.CancelScope()

    # What the agent's side calls.

    async def work(self) -> None:
        """Run the agent's function until it fails or is stopped."""
        from ..stream import Stream

        current.set(self)
        try:
            with self._scope:
                stream = Stream[Any](self)
                async with aclosing(stream):
                    await self.agent.function(stream)
                raise StreamError(
                    "it returned. An agent iterates its stream for as long as the worker runs: "
                    "`async for event in stream:` without `break` or `return`"
                )
        except Exception as error:  # noqa: BLE001 - handed to the runner, which decides by policy
            self.failure = error
        finally:
            self._stopped.set()
            self._idle.set()

    async def next_run(self) -> Run:
        """Say that all events of the last run are done; wait for the next run."""
        self.batch = None
        self._idle.set()
        await self._given.wait()
        self._given = anyio.Event()
        return self.run

    @property
    def now(self) -> Timestamp:
        return self.clock.now()

    @property
    def timestamp(self) -> Timestamp:
        """The current event's time; for a batch as a whole, the latest of its events'."""
        if self.index >= 0:
            return self.run.timestamps[self.index]
        if not self.run.timestamps:
            raise StreamError(
                f"agent {self.agent.name!r} has no current event yet, so there is no timestamp to "
                "inherit: pass `timestamp=`, or move this below `async for`"
            )
        return max(self.run.timestamps)

    @property
    def stream_time(self) -> Timestamp:
        """The largest timestamp up to the current event; for a batch as a whole, up to its last."""
        run = self.run
        return run.stream_times[self.index] if run.stream_times else run.stream_time_before

    # What the runner's side calls.

    def give(self, run: Run) -> None:
        """Let the agent process this run. `idle` tells when it has."""
        self.run = run
        self.index = -1
        self._idle = anyio.Event()
        self._given.set()

    async def idle(self) -> None:
        """Wait until the agent has processed all it was given, or has ended."""
        await self._idle.wait()

    def is_idle(self) -> bool:
        return self._idle.is_set()

    async def stop(self) -> None:
        """Cancel the agent and wait until it is gone."""
        self._scope.cancel()
        await self._stopped.wait()

    def failed(self) -> AgentFailed | DecodeFailed:
        """Say which event the agent failed on. Only after `failure` is set."""
        assert self.failure is not None
        if isinstance(self.failure, DecodeFailed):
            return self.failure
        run, index = self.run, max(self.index, 0)
        offset = run.offset(index) if len(run) else -1
        failed = AgentFailed(self.agent.name, run.partition, offset, self.failure)
        failed.__cause__ = self.failure
        return failed
