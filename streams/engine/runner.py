"""The shell of a task: reads its inputs, lets its agents work, commits. All awaits are here.

    open state ─► restore ─► start agents ─► ( fetch ─► runs through agents ─► commit )… ─► close

A commit is begun when every agent is idle, and is one transaction of outputs, changelog records and
input offsets; when it is done, the state changes go to the store. Meanwhile events are processed for
the next one, which begins when this one is done. So after any failure the way back is the same: let the
commit that is under way come to its end, forget what is not committed, and go on from what is.
"""

import math
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import anyio
import anyio.abc

from ...log.interface import Reader
from ...log.model import CommittedOffset, Fetched, NewRecord, Offset, TopicPartition
from ..agent import Agent
from ..policy import RetryAfter, SendToDeadLetter, StopIt, dead_letter_headers
from ..topic import Topic
from ..topology import Subtopology
from .commits import Commits
from .crew import AgentBroke, Crew
from .inputs import Undecodable
from .instance import Instance
from .run import Run
from .task import RUN_SIZE_MAX, Task
from .task_stores import TaskStores
from .trouble import Troubles, Verdict, exhausted, headers_of

if TYPE_CHECKING:
    from .engine import Engine


QUICK_RUN_SIZE: Final = 512
"""Events per run at most while a commit is under way, whose many steps each wait for a turn of the loop."""


class TaskRunner:
    """Runs one task from restore to close.

    Attributes:
        ready: set once the state is restored and the agents are waiting for events.
        done: set once it commits nothing more; what is left is to close its store.
        stores: what the task's tables hold.
        waits_for_time: whether nothing but time has to pass: for a rate, or before a retry.
    """

    def __init__(self, engine: "Engine", subtopology: Subtopology, partition: int) -> None:
        self.engine = engine
        self.task = Task(subtopology, partition, engine.outputs())
        self.ready = anyio.Event()
        self.done = anyio.Event()
        self.stores = TaskStores(engine, self.task)
        self.waits_for_time = False
        self._clock = engine.clock
        self._troubles = Troubles()
        self._news = False
        self._poked = False
        self._wait: anyio.CancelScope | None = None
        self._last_run: Run | None = None
        self._crew = Crew(self.task, engine.clock)
        self._commits = Commits(engine, self.task, self.stores, self._crew)
        self._buckets = {
            agent: engine.bucket(agent.name, agent.flow.rate)
            for agent in subtopology.agents
            if agent.flow.rate is not None
        }
        bursts = (bucket.burst for bucket in self._buckets.values())
        self._size_max = min([RUN_SIZE_MAX, *bursts])
        self._reader: Reader
        self._agents: anyio.abc.TaskGroup

    # From outside.

    def stop(self) -> None:
        """Ask to commit what is done and end."""
        self._crew.pausing = True
        self._poke()

    def commit_soon(self) -> None:
        """Ask for a commit before the interval is over."""
        self._commits.ask()
        self._poke()

    @property
    def is_settled(self) -> bool:
        """Whether all that was fetched is processed and committed, but for what batches hold."""
        return (
            self.ready.is_set()
            and self._crew.at_rest()
            and not self._commits.is_under_way
            and all(source.position >= source.end_offset for source in self.task.inputs)
            and not self._news
        )

    def positions(self) -> dict[TopicPartition, Offset]:
        """Return up to where each input is processed and committed."""
        return {
            partition: progress.offset for partition, progress in self._commits.committed.items()
        }

    def held(self) -> int:
        """Return how many events batches hold that are not full yet."""
        return sum(len(instance.held) for instance in self._crew)

    # The life of a task.

    async def run(self) -> None:
        """Run until stopped.

        Raises:
            AgentFailed, DecodeFailed: as the policies say.
            LogError, StateError: of the log, or of the store.
        """
        log = self.engine.log
        committed = await self._commits.open()
        self._reader = log.reader()
        try:
            await self._go_to_last_commit(committed)
            await self.stores.open(self.task.meta.closed)
            async with anyio.create_task_group() as self._agents:
                await self._crew.start(self._agents)
                self.ready.set()
                self._crew.pause_at = self._clock.now() + self.engine.commit_interval_ms
                while not self._crew.pausing:
                    await self._step_or_recover()
                # Should an agent fail on a last batch, that stays uncommitted, and comes again.
                with suppress(AgentBroke):
                    await self._commit()
                self._agents.cancel_scope.cancel()
        finally:
            self.done.set()
            with anyio.CancelScope(shield=True):
                await self._reader.aclose()
                await self.stores.aclose()

    async def _step_or_recover(self) -> None:
        try:
            await self._step()
        except AgentBroke as broken:
            await self._recover(broken.instance)

    async def _step(self) -> None:
        if await self._crew.hand_out_overdue():
            self._news = True
            await self._derive()
        await self._commit_if_due()
        is_quick = self._commits.is_under_way
        item = self.task.next_run(
            min(self._size_max, QUICK_RUN_SIZE) if is_quick else self._size_max
        )
        if item is None:
            await self._fetch()
        elif isinstance(item, Undecodable):
            await self._pass_undecodable(item)
        else:
            await self._process(item)

    # Events.

    async def _fetch(self) -> None:
        """Wait for more records, or until a commit or a batch is due, or somebody asks."""
        due = [
            self._crew.next_deadline(),
            self._crew.pause_at if self._news else None,
            self._commits.affirm_at,
        ]
        now = self._clock.now()
        wait_ms = min((time - now for time in due if time is not None), default=math.inf)
        hungry = set(self.task.hungry())
        self._reader.pause(set(self._sources()) - hungry)
        self._reader.resume(hungry)
        fetched: list[Fetched] = []
        with self._waiting(wait_ms):
            fetched = await self._reader.read(bytes_max=self.engine.settings.fetch_bytes)
        for each in fetched:
            self.task.input_of(each.partition).feed(each)
        await self._look_for_earlier()

    async def _look_for_earlier(self) -> None:
        """Learn how far the inputs reach of which nothing waits: what lies there may come first."""
        hungry = self.task.hungry()
        if 0 < len(hungry) < len(self.task.inputs):
            for partition, end in (await self.engine.log.end_offsets(hungry)).items():
                self.task.input_of(partition).end_offset = end

    @contextmanager
    def _waiting(self, wait_ms: float) -> Iterator[None]:
        """Cancel the block after a time, or when somebody asks for attention."""
        with self._clock.move_on_after(wait_ms) as self._wait:
            if self._poked:
                self._wait.cancel()
            yield
        self._wait = None
        self._poked = False

    async def _process(self, run: Run) -> None:
        rest, verdicts = self._troubles.trim(run)
        self.task.give_back(rest)
        if not verdicts:
            if not await self._throttle(run):
                return  # It comes again after the next start.
            for agent in self.task.subtopology.consumers(run.source):
                await self._crew.deliver(self._crew[agent], run)
        else:
            await self._process_unit(run, verdicts)
        self.task.complete(run)
        self._news = True
        self._last_run = run
        self.engine.metrics.processed(self.task, len(run))
        await self._derive()
        if verdicts:
            await self._commit()

    async def _process_unit(self, run: Run, verdicts: Mapping[Agent, Verdict]) -> None:
        """Deal with the events that agents have failed on, apart from all others."""
        for instance in self._crew:
            await self._crew.hand_out_held(instance)
        await self._derive()
        await self._commit()
        for agent in self.task.subtopology.consumers(run.source):
            instance, verdict = self._crew[agent], verdicts.get(agent)
            if verdict is not None and not isinstance(verdict.decision, RetryAfter):
                for index in range(len(run)):
                    self._bury(run, index, verdict)
                continue
            await self._crew.deliver(instance, run)
            await self._crew.hand_out_held(instance)

    def _bury(self, run: Run, index: int, verdict: Verdict) -> None:
        """Send an event to the dead-letter topic, if that is the verdict."""
        if isinstance(verdict.decision, SendToDeadLetter):
            record = run.raw(index)
            headers = headers_of(verdict, record.headers, run.offset(index))
            self._dead_letter(verdict.decision, record._replace(headers=headers))
        self.engine.metrics.passed_over(verdict.unit.agent.name)

    def _dead_letter(self, decision: SendToDeadLetter, record: NewRecord) -> None:
        topic = self.engine.topic_named(decision.topic)
        self.task.outputs[topic].add_raw(record)

    async def _pass_undecodable(self, bad: Undecodable) -> None:
        partition = bad.error.partition
        decision = exhausted(self.task.input_of(partition).topic.on_decode_error)
        if isinstance(decision, StopIt):
            await self._commit()
            raise bad.error
        # It must not come again, so nothing before it may either.
        for agent in self.task.subtopology.consumers(self.task.input_of(partition).topic):
            await self._crew.hand_out_held(self._crew[agent])
        await self._derive()
        if isinstance(decision, SendToDeadLetter):
            record = bad.record
            headers = dead_letter_headers(
                record.headers,
                error=bad.error,
                agent=self.task.subtopology.name,
                partition=partition,
                offset=record.offset,
                attempts=1,
                failed_at=self._clock.now(),
            )
            self._dead_letter(
                decision, NewRecord(record.key, record.value, record.timestamp, headers)
            )
        self.engine.metrics.passed_over(self.task.subtopology.name)
        self.task.passed(bad, partition)
        self._news = True

    async def _derive(self) -> None:
        """Close windows, and let agents see what that gives rise to."""
        cause = self._last_run
        if cause is None or not self.task.subtopology.windowed:
            return
        runs = deque(self.task.derived_runs(self.task.watermark(self._crew), cause))
        while runs:
            run = runs.popleft()
            for agent in self.task.subtopology.consumers(run.source):
                await self._deliver_derived(self._crew[agent], run)
            runs.extend(self.task.derived_runs(self.task.watermark(self._crew), run))

    async def _deliver_derived(self, instance: Instance, run: Run) -> None:
        """Deliver windows one stretch after another, leaving out those that are given up."""
        agent, troubles = instance.agent, self._troubles
        if troubles.derived:
            run = run.copy()  # It is cut up, and other agents have it as well.
        while len(run):
            verdicts = (troubles.verdict_on(agent, run, index) for index in range(len(run)))
            passed = next(
                (i for i, v in enumerate(verdicts) if v and not isinstance(v.decision, RetryAfter)),
                None,
            )
            rest = None if passed is None else run.cut(passed)
            if len(run):
                await self._crew.deliver(instance, run)
                troubles.passed(agent, run)
            if rest is None:
                return
            verdict = troubles.verdict_on(agent, rest, 0)
            assert verdict is not None
            following = rest.cut(1)
            self._bury(rest, 0, verdict)
            troubles.passed(agent, rest)
            if following is None:
                return
            run = following

    async def _throttle(self, run: Run) -> bool:
        """Wait until the rates of the agents that the run is for allow it.

        Returns False when a stop cut the wait short.
        """
        now = self._clock.now()
        consumers = self.task.subtopology.consumers(run.source)
        buckets = [self._buckets[agent] for agent in consumers if agent in self._buckets]
        wait_ms = max((bucket.take(len(run), now) for bucket in buckets), default=0)
        if wait_ms:
            await self._pause_for(wait_ms)
        return not (wait_ms and self._crew.pausing)

    async def _pause_for(self, wait_ms: float) -> None:
        """Wait, but commit on time meanwhile, and not beyond a stop."""
        self.waits_for_time = True
        until = self._clock.now() + wait_ms
        while not self._crew.pausing and (left := until - self._clock.now()) > 0:
            if self._news:
                left = min(left, self._crew.pause_at - self._clock.now())
            with self._waiting(left):
                await anyio.sleep_forever()
            await self._commit_if_due()
        self.waits_for_time = False

    # Commit, and the way back.

    async def _commit_if_due(self) -> None:
        if self._commits.is_due():
            await self._commits.done()  # which says anew when the next one is due
            if self._commits.is_due():
                await self._begin_commit()

    async def _commit(self) -> None:
        """Make all that is processed durable."""
        await self._begin_commit()
        await self._commits.done()

    async def _begin_commit(self) -> None:
        """Begin to make all that is processed durable."""
        await self._commits.done()
        self._crew.pause_at = self._commits.due_after_this()
        await self._finish_batches()
        if self._commits.begin(self._agents):
            self._troubles.committed()
            self._crew.paused()
        self._news = False

    async def _finish_batches(self) -> None:
        """Have batches handed out, full or not, that can't wait in the log for the next commit."""
        while overdue := [each for each in self._crew if each.held and not self._can_wait(each)]:
            for instance in overdue:
                await self._crew.hand_out_held(instance)
            await self._derive()

    def _can_wait(self, instance: Instance) -> bool:
        """Whether held events may come again: not those of tables, nor what others are done with."""
        source = instance.agent.source
        return isinstance(source, Topic) and len(self.task.subtopology.consumers(source)) == 1

    async def _recover(self, broken: Instance) -> None:
        """Go back to the last commit, and decide what becomes of the event that failed."""
        await self._commits.done()
        verdict = self._troubles.failed(broken, self._clock.now(), self.engine.random())
        if isinstance(verdict.decision, StopIt):
            raise broken.failed()
        await self._crew.stop()
        self._news = False
        self._troubles.rolled_back()
        self.stores.rollback()
        await self._go_to_last_commit(self._commits.committed)
        if isinstance(verdict.decision, RetryAfter):
            await self._pause_for(verdict.decision.seconds * 1000)
        await self._crew.start(self._agents)

    async def _go_to_last_commit(self, committed: Mapping[TopicPartition, CommittedOffset]) -> None:
        questions = self.engine.questions
        sources = self._sources()
        self._commits.committed = committed
        self._last_run = None
        self.task.resume(
            committed, await questions.start_offsets(sources), await questions.end_offsets(sources)
        )
        self._reader.assign(self.task.fetch_positions())

    def _sources(self) -> list[TopicPartition]:
        return [source.partition for source in self.task.inputs]

    def _poke(self) -> None:
        self._poked = True
        if self._wait is not None:
            self._wait.cancel()
