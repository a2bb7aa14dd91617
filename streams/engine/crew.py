"""The agents of one task: started and stopped together, and given one run at a time.

The crew is at rest when every instance is idle. Only then may its task commit.
"""

from collections.abc import Iterator

import anyio
import anyio.abc

from ..agent import Agent
from .clock import Clock
from .instance import Instance
from .run import Run, empty_run
from .task import Task


class AgentBroke(Exception):
    """An agent raised; the task has to go back to its last commit."""

    def __init__(self, instance: Instance) -> None:
        super().__init__(instance.agent.name)
        self.instance = instance


class Crew:
    """One instance of each agent of a task.

    Attributes:
        pause_at: when agents are to come back, done with what they were given or not, as a commit
            is due; in clock milliseconds.
        pausing: whether they are to come back after the current event, whatever the time.
    """

    def __init__(self, task: Task, clock: Clock) -> None:
        self.pause_at = 0
        self.pausing = False
        self._task = task
        self._clock = clock
        self._instances: dict[Agent, Instance] = {}

    def __iter__(self) -> Iterator[Instance]:
        return iter(self._instances.values())

    def __getitem__(self, agent: Agent) -> Instance:
        return self._instances[agent]

    async def start(self, group: anyio.abc.TaskGroup) -> None:
        """Start an instance of each agent, and wait until all want events.

        Raises:
            AgentFailed: one failed before it had any.
        """
        self._instances = {
            agent: Instance(agent, self._task, self._clock)
            for agent in self._task.subtopology.agents
        }
        for instance in self:
            group.start_soon(instance.work)
        for instance in self:
            await instance.idle()
            if instance.failure is not None:
                raise instance.failed()

    async def stop(self) -> None:
        """Cancel all instances, and wait until they are gone."""
        for instance in self:
            await instance.stop()
        self._instances = {}

    def at_rest(self) -> bool:
        return all(instance.is_idle() for instance in self)

    def next_deadline(self) -> int | None:
        """Return when the first batch is to be handed out, full or not."""
        deadlines = (instance.deadline for instance in self)
        return min((each for each in deadlines if each is not None), default=None)

    async def deliver(self, instance: Instance, run: Run) -> None:
        """Let an agent process a run; if a pause falls due meanwhile, only a part of it.

        What is not processed is given back to the task.

        Raises:
            AgentBroke: the agent failed.
        """
        instance.give(run)
        while not instance.is_idle():
            if not self.pausing and not instance.barrier_wanted:
                with self._clock.move_on_after(self.pause_at - self._clock.now()):
                    await instance.idle()
                if instance.is_idle():
                    break
            self._ask_to_pause(instance)
            await instance.idle()
        if instance.failure is not None:
            raise AgentBroke(instance)

    def _ask_to_pause(self, instance: Instance) -> None:
        """Make an agent come back after the event, or the batch, that it is busy with.

        A run is never cut to nothing: where several agents share a source, those before may have
        processed its only event.
        """
        instance.barrier_wanted = True
        if instance.batch is None and not instance.held and instance.run.records:
            self._task.give_back(instance.run.cut(max(instance.index + 1, 1)))

    def paused(self) -> None:
        """Note that the commit which agents paused for is done."""
        for instance in self:
            if not instance.held:
                instance.barrier_wanted = False

    async def hand_out_overdue(self) -> bool:
        """Let agents hand out batches whose time has come, or which they paused before."""
        now = self._clock.now()
        nudged = False
        for instance in self:
            overdue = instance.deadline is not None and instance.deadline <= now
            if overdue or (instance.barrier_wanted and instance.held):
                instance.barrier_wanted = False
                await self._nudge(instance)
                nudged = True
        return nudged

    async def hand_out_held(self, instance: Instance) -> None:
        """Make an agent finish what it holds for a batch, full or not."""
        while instance.held:
            instance.deadline = self._clock.now()
            instance.barrier_wanted = False
            await self._nudge(instance)

    async def _nudge(self, instance: Instance) -> None:
        await self.deliver(instance, empty_run(instance.agent.source))
