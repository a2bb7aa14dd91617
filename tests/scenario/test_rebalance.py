"""What a rebalance costs tasks: nothing, if they stay; and those that move go on where they stopped, at once if there is a copy."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import anyio
import millpond as mp
import pytest
from millpond.log.model import Isolation, TopicPartition
from millpond.state.rocks import RocksEnvironment
from millpond.streams.engine.assignor import TaskId
from millpond.streams.engine.directories import StoreDirectories
from millpond.streams.engine.sharing import SharedTasks
from millpond.tests.twins.shared_log import Member

from .shared_world import PARTITIONS, Worker, World, world

pytestmark = pytest.mark.anyio
CHANGELOG = "shop-counts-changelog"
SUBTOPOLOGY = "count"


async def until(seen: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not seen():  # noqa: ASYNC110 - many things have to come together
            await anyio.sleep(0.002)


def handled_by(w: World, worker: Worker, partition: int) -> int:
    return sum(each[:2] == (worker.name, partition) for each in w.handled)


async def test_tasks_that_stay_work_on_while_one_that_moves_is_waited_for() -> None:
    """The second worker gets three tasks; one of them is amid an event that takes long."""
    async with world() as w:
        first = await w.add()
        await w.shared_out()
        before = first.runners()
        w.gates["slow-5"] = anyio.Event()
        await w.order("slow-5")
        await until(lambda: handled_by(w, first, 5) == 1)
        second = await w.add()
        await until(lambda: len(first.runners()) < PARTITIONS)  # others have stopped already
        for _ in range(10):
            await w.order("fast-0", "fast-1", "fast-2")
            await until(lambda: handled_by(w, first, 2) * 3 == w.sent.total() - 1)
        assert 5 not in second.runners(), "it is not handed over amid an event"
        assert member(second).joins == 2, "it waits, and does not ask again and again"
        w.gates["slow-5"].set()
        await w.check()
        assert all(first.runners()[partition] is before[partition] for partition in range(3))
        assert sorted(second.runners()) == [3, 4, 5]


async def test_tasks_that_move_go_on_with_the_event_behind_the_last_one_done() -> None:
    """An order is handled once, by the worker before or by the one after; what is handed over is not done again."""
    async with world() as w:
        await w.add()
        for act in ("add", "add", "remove", "add", "remove", "remove"):
            await w.send(60)
            await (w.add() if act == "add" else w.remove(w.workers[0]))
        await w.check()
        assert len(w.handled) == w.sent.total()
        for partition in range(PARTITIONS):
            offsets = [each.offset for each in w.handled if each.partition == partition]
            assert offsets == sorted(offsets)


async def test_a_worker_that_comes_or_goes_takes_the_group_two_generations() -> None:
    """One in which tasks are stopped, and one in which others get them: nobody joins for nothing."""
    async with world() as w:
        await w.add()
        for act in ("add", "add", "remove", "remove"):
            generation = w.group.generation
            await (w.add() if act == "add" else w.remove(w.workers[0]))
            await w.shared_out()
            assert w.group.generation == generation + 2, act


async def test_tasks_of_a_worker_that_leaves_run_until_the_others_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Members hear of a rebalance at their next heartbeat: tasks should not stand still until then."""
    heartbeat = anyio.Event()
    heartbeat.set()
    hear = Member.until_rebalance

    async def hear_at_the_next_heartbeat(member: Member) -> None:
        await hear(member)
        await heartbeat.wait()

    monkeypatch.setattr(Member, "until_rebalance", hear_at_the_next_heartbeat)
    async with world() as w:
        first = await w.add()
        second = await w.add()
        await w.shared_out()
        mine = sorted(first.runners())
        heartbeat = anyio.Event()
        first.leave.set()
        for number in range(5):
            await w.order(*(f"key-{partition}" for partition in mine))
            await until(lambda: handled_by(w, first, mine[-1]) == number + 1)  # noqa: B023
        heartbeat.set()
        await first.gone.wait()
        w.workers.remove(first)
        await w.check()
        assert len(second.runners()) == PARTITIONS


async def test_the_leader_fences_who_is_gone_and_nobody_else() -> None:
    """Else what the dead left open would hide its tasks' progress; the first one that dies is the leader."""
    async with world() as w:
        dead = []
        for _ in range(4):
            await w.add()
        while len(w.workers) > 1:
            await w.send(30)
            await w.settled()
            dead.append(transactional_id(w.workers[0]))
            await w.kill(w.workers[0])
            await w.shared_out()
            assert w.log.fenced == dead
        await w.check()


def member(worker: Worker) -> Member:
    assert isinstance(worker.engine.tasks, SharedTasks)
    assert isinstance(worker.engine.tasks.membership, Member)
    return worker.engine.tasks.membership


def transactional_id(worker: Worker) -> str:
    assert isinstance(worker.engine.tasks, SharedTasks)
    return worker.engine.tasks.transactional_id


@pytest.mark.parametrize(("copies", "end"), [(0, World.kill), (1, World.kill), (1, World.remove)])
async def test_a_task_runs_where_its_copy_is_without_restoring(
    copies: int, end: Callable[[World, Worker], object], tmp_path: Path
) -> None:
    def stores(name: str) -> StoreDirectories:
        return StoreDirectories(tmp_path / name, RocksEnvironment(8 << 20))

    async with world(mp.Settings(standby_replicas=copies), stores) as w:
        first, second = await w.add(), await w.add()
        await w.send(200)
        await w.settled()
        moving = sorted(first.runners())
        if copies:
            await copied(w, second, moving)
        await end(w, first)  # type: ignore[misc]
        await w.check()
        read = Counter({task: second.runners()[task].stores.to_restore for task in moving})
        assert read.total() == 0 if copies else min(read.values()) > 0, read


async def copied(w: World, worker: Worker, partitions: list[int]) -> None:
    """Wait until a worker's copies have all that the changelogs have."""
    ends = await w.log.end_offsets(
        [TopicPartition(CHANGELOG, each) for each in partitions], Isolation.READ_UNCOMMITTED
    )
    wanted = {TaskId(SUBTOPOLOGY, at.partition): end for at, end in ends.items()}
    await until(
        lambda: all(worker.directory.warm().get(task) == end for task, end in wanted.items())
    )
