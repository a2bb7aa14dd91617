"""A worker's share of the tasks, on a log that several workers use: joins, starts, stops, hands over.

    join ─► start what is given, stop what is not ─► (something is handed over: join anew) ─► until a rebalance

Nothing stops because of a rebalance: tasks go on while the group decides, and only those that move are
stopped, each behind its last commit; the next worker is given them when this one has joined anew and
no longer claims them (KIP-429). State is restored beside the tasks that run already.

Members hear of a rebalance at their next heartbeat, and while tasks are stopped that is too long. So all
join anew as soon as the leader has said that some are to be handed over, and wait there for who has
to stop them. A worker that leaves does likewise: it joins once more, as one that can run nothing, and goes when it
has stopped what the others wait for by then.

A worker that was expelled, because nothing was heard of it in time, finds its commits refused. It drops
all it has, uncommitted, and joins as a new one. The same happens when its producer can't go on: what
became of its last transaction is then read from the log, by whoever gets the tasks.

Who is gone may have left a transaction open, which hides what became of its tasks until the brokers abort it,
10 s and more after it began. So all know under which transactional ids the others commit, and the leader
fences those that are missing in the next generation. If nobody does, take-over only waits longer.
"""

import random
import uuid
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Final

import anyio
import anyio.abc

from ...log.errors import Expelled, Fenced, MillpondError
from ...log.interface import Membership, SharedLog, TransactionalProducer
from ..timestamps import duration_ms
from .assignor import (
    Given,
    TaskId,
    Told,
    decode_given,
    decode_told,
    encode_given,
    encode_told,
    share_out,
)
from .directories import StoreDirectories
from .failures import plain_errors
from .runner import TaskRunner
from .standby import Standby

if TYPE_CHECKING:
    from .engine import Engine

REBALANCE_SLACK_MS: Final = 30_000
"""How much longer than a task may take to stop a worker is waited for in a rebalance."""

NOTICE_S_MAX: Final = 2.0
NOTICE_SHARE: Final = 0.25
"""So much of its shutdown timeout does a worker that leaves wait for others: they hear of it at their next
heartbeat, within a second; its tasks run meanwhile."""

AFFIRM_INTERVAL_MS: Final = 6 * 60 * 60 * 1000
"""Brokers forget the offsets of a group without members in a week (KIP-211), and tasks' groups have none."""


@dataclass(slots=True)
class _Work:
    """Something that runs for a task, and can be ended."""

    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    ended: anyio.Event = field(default_factory=anyio.Event)


@dataclass(slots=True)
class _Running(_Work):
    runner: TaskRunner = field(kw_only=True)


class SharedTasks:
    """The tasks that the app's group gives this worker.

    Attributes:
        membership: in that group, while they run.
        transactional_id: what it commits under; empty if it does so without transactions.
    """

    def __init__(self, log: SharedLog, directories: StoreDirectories) -> None:
        """Make them.

        Args:
            log: the engine's.
            directories: where the tasks' stores are.
        """
        self.affirm_interval_ms: int | None = AFFIRM_INTERVAL_MS
        self.keyless_first = random.randrange(1 << 16)  # noqa: S311 - to spread, not to hide
        self._log = log
        self._directories = directories
        self._running: dict[TaskId, _Running] = {}
        self._standing: dict[TaskId, _Work] = {}
        self._joins = count()
        self._stopping = False
        self._fenced = False
        self.transactional_id = ""
        self._transactional_ids: frozenset[str] = frozenset()
        self._gone: frozenset[str] = frozenset()
        self._joining = anyio.CancelScope()
        self._following = anyio.CancelScope()
        self.membership: Membership
        self._engine: Engine
        self._group: anyio.abc.TaskGroup
        self._fencing: anyio.abc.TaskGroup
        self._producer: TransactionalProducer | None = None

    @property
    def runners(self) -> list[TaskRunner]:
        return [running.runner for running in self._running.values()]

    async def producer(self, task: str) -> TransactionalProducer:
        del task  # the group tells whose it is
        assert self._producer is not None
        return self._producer

    def stop(self) -> None:
        self._stopping = True
        self._joining.cancel()
        self._following.cancel()

    async def run(self, engine: "Engine", *, task_status: anyio.abc.TaskStatus[None]) -> None:
        self._engine = engine
        settings = engine.settings
        self.transactional_id = self._new_transactional_id()
        self._shutdown_ms = duration_ms(settings.shutdown_timeout, what="shutdown_timeout")
        try:
            async with anyio.create_task_group() as self._group:
                async with (
                    self._log.membership(
                        engine.app.name,
                        self._share_out,
                        instance_id=settings.instance,
                        session_timeout_ms=duration_ms(
                            settings.session_timeout, what="session_timeout"
                        ),
                        rebalance_timeout_ms=self._shutdown_ms + REBALANCE_SLACK_MS,
                    ) as self.membership,
                    anyio.create_task_group() as self._fencing,
                ):
                    await self._be_member(self.membership, task_status)
                    self._fencing.cancel_scope.cancel()
                # Others go on with the tasks while their stores are being closed here.
                await _end(self._standing.values())
        finally:
            self._running.clear()
            with anyio.CancelScope(shield=True):
                await self._directories.close_kept()

    async def _be_member(
        self, membership: Membership, task_status: anyio.abc.TaskStatus[None]
    ) -> None:
        """Do what the group gives, until asked to stop."""
        is_new = True
        while not self._stopping:
            given = await self._take_share(membership)
            if given is None:
                continue
            self._fence_the_gone(given)
            stopped = await self._do(given)
            if is_new:
                task_status.started()
                is_new = False
            if not (stopped or given.handing_over):
                await self._follow(membership)
        await self._give_notice(membership)
        await self._stop_tasks(list(self._running))

    # -- the group -----------------------------------------------------------------------------

    async def _take_share(self, membership: Membership) -> Given | None:
        """Join; return what this worker is to do. None if that does not hold any more."""
        if self._fenced or membership.place is None:
            await self._drop()
        data = None
        with anyio.CancelScope() as self._joining, suppress(Expelled):
            data = await membership.join(encode_told(self._told()))
            if self._producer is None:
                self._producer = await self._make_producer(membership)
        if data is None or self._stopping or self._fenced:
            return None
        return decode_given(data)

    async def _follow(self, membership: Membership) -> None:
        """Wait until there is a reason to join anew, or to stop."""
        with anyio.CancelScope() as self._following:
            if self._stopping or self._fenced:
                return
            await membership.until_rebalance()

    async def _give_notice(self, membership: Membership) -> None:
        """Let others be ready for this worker's tasks before they stop: who hears of it then waits for them.

        A static member says nothing: its tasks wait for it.
        """
        notice_s = min(NOTICE_S_MAX, self._shutdown_ms / 1000 * NOTICE_SHARE)
        if self._running and not self._fenced and self._engine.settings.instance is None:
            told = replace(self._told(), tasks={}, standby_replicas=0)
            with anyio.move_on_after(notice_s), suppress(MillpondError):
                await membership.join(encode_told(told))

    def _told(self) -> Told:
        topology, settings = self._engine.topology, self._engine.settings
        return Told(
            tasks={sub.name: self._engine.task_count(sub) for sub in topology.subtopologies},
            stateful=frozenset(sub.name for sub in topology.subtopologies if sub.tables),
            running=frozenset(self._running),
            warm=self._directories.warm(),
            directory=self._directories.identity,
            standby_replicas=settings.standby_replicas,
            transactional_id=self.transactional_id,
            join_number=next(self._joins),
        )

    def _share_out(self, told: Mapping[str, bytes]) -> dict[str, bytes]:
        workers = {member: decode_told(data) for member, data in told.items()}
        self._gone |= self._transactional_ids
        return {member: encode_given(given) for member, given in share_out(workers).items()}

    # -- transactions --------------------------------------------------------------------------

    def _new_transactional_id(self) -> str:
        """Return what to commit under; empty if that is without transactions."""
        settings = self._engine.settings
        if settings.guarantee == "at_least_once":
            return ""
        return f"{self._engine.app.name}-{settings.instance or uuid.uuid4()}"

    async def _make_producer(self, membership: Membership) -> TransactionalProducer:
        if not self.transactional_id:
            return await self._log.at_least_once_producer()
        return await self._log.worker_producer(self.transactional_id, membership)

    def _fence_the_gone(self, given: Given) -> None:
        """Fence who was there and is not any more, if this worker leads."""
        gone, self._gone = self._gone - given.transactional_ids, frozenset()
        self._transactional_ids = given.transactional_ids
        for transactional_id in sorted(gone):
            self._fencing.start_soon(self._fence, transactional_id)

    async def _fence(self, transactional_id: str) -> None:
        with suppress(MillpondError):  # then the brokers abort it, later
            await self._log.fence(transactional_id)

    # -- tasks ---------------------------------------------------------------------------------

    async def _do(self, given: Given) -> bool:
        """Run what is given and nothing else; return whether something was stopped for others."""
        leaving = [task for task in self._running if task not in given.active]
        taken = given.active & self._standing.keys()
        self._directories.keep(given.standby.intersection(leaving) | taken)
        await self._stop_tasks(leaving)
        await _end([self._standing.pop(task) for task in taken])
        for task in sorted(given.active - self._running.keys()):
            self._start(task)
        for task in self._standing.keys() - given.standby:
            self._standing.pop(task).scope.cancel()  # nobody waits for it to be closed
        for task in sorted(given.standby - self._standing.keys() - self._running.keys()):
            work = self._standing[task] = _Work()
            self._group.start_soon(self._stand_by, task, work)
        return bool(leaving)

    def _start(self, task: TaskId) -> None:
        sub = self._engine.topology.subtopology(task.subtopology)
        runner = TaskRunner(self._engine, sub, task.partition)
        running = self._running[task] = _Running(runner=runner)
        self._group.start_soon(self._host, task, running)

    async def _host(self, task: TaskId, running: _Running) -> None:
        try:
            with running.scope, plain_errors():
                await running.runner.run()
        except Fenced as error:
            self._lose(error)
        finally:
            if self._running.get(task) is running:
                del self._running[task]
            running.runner.done.set()
            running.ended.set()

    def _lose(self, error: Fenced) -> None:
        """Have everything dropped, and join anew."""
        if not self._fenced:
            self._fenced = True
            self._engine.note(f"This worker has lost its tasks, and joins anew: {error}")
        self._following.cancel()

    async def _stop_tasks(self, tasks: Collection[TaskId]) -> None:
        """Let tasks finish their current event and commit; cut off those that take too long.

        Their stores are closed afterwards: who goes on with them elsewhere need not wait for that.
        """
        leaving = [self._running[task] for task in tasks]
        for running in leaving:
            if running.runner.ready.is_set():
                running.runner.stop()
            else:
                running.scope.cancel()
        with anyio.move_on_after(self._shutdown_ms / 1000) as limit:
            for running in leaving:
                await running.runner.done.wait()
        if limit.cancelled_caught:
            await _end(leaving)
        for task in tasks:
            self._running.pop(task, None)

    async def _drop(self) -> None:
        """Forget all tasks, with what is not committed, and the producer."""
        await _end(list(self._running.values()))
        self._producer = None
        self._fenced = False
        self.transactional_id = self._new_transactional_id()

    async def _stand_by(self, task: TaskId, work: _Work) -> None:
        sub = self._engine.topology.subtopology(task.subtopology)
        try:
            with work.scope:
                await self._until_tasks_run()
                await Standby(self._engine, sub, task.partition).run()
        finally:
            work.ended.set()

    async def _until_tasks_run(self) -> None:
        """Let tasks be restored first: copies take of the same disk, network and processor."""
        for running in list(self._running.values()):
            await _first_of(running.runner.ready, running.runner.done)


async def _first_of(*events: anyio.Event) -> None:
    """Wait until one of these has happened."""
    async with anyio.create_task_group() as group:

        async def wait(event: anyio.Event) -> None:
            await event.wait()
            group.cancel_scope.cancel()

        for event in events:
            group.start_soon(wait, event)


async def _end(works: Collection[_Work]) -> None:
    """Cut work off, and wait until it has cleaned up."""
    for work in works:
        work.scope.cancel()
    for work in works:
        await work.ended.wait()
