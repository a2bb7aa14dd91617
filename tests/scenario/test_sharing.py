"""Workers that share the tasks of an app: who has what, what moves, and what a zombie can do."""

import random

import anyio
import pytest

from .shared_world import PARTITIONS, world

pytestmark = pytest.mark.anyio


async def test_tasks_are_shared_out_and_counted_once() -> None:
    async with world() as w:
        first = await w.add()
        await w.send(100)
        await w.check()
        second = await w.add()
        await w.shared_out()
        assert len(first.runners()) == len(second.runners()) == PARTITIONS // 2
        await w.send(100)
        await w.check()


async def test_tasks_that_do_not_move_are_not_touched() -> None:
    async with world() as w:
        first = await w.add()
        await w.shared_out()
        before = first.runners()
        await w.add()
        await w.shared_out()
        after = first.runners()
        assert len(after) == PARTITIONS // 2
        assert all(before[partition] is runner for partition, runner in after.items())


async def test_who_stops_hands_over_with_all_committed() -> None:
    async with world() as w:
        first, second = await w.add(), await w.add()
        await w.send(300)
        await w.remove(first)
        await w.shared_out()
        assert len(second.runners()) == PARTITIONS
        await w.send(300)
        await w.check()


async def test_a_worker_without_a_task_stays_ready() -> None:
    async with world() as w:
        for _ in range(PARTITIONS + 2):
            await w.add()
        await w.shared_out()
        idle = next(worker for worker in w.workers if not worker.runners())
        for worker in list(w.workers):
            if worker is not idle:
                await w.remove(worker)
        await w.shared_out()
        await w.send(50)
        await w.check()
        assert len(idle.runners()) == PARTITIONS


async def test_a_zombie_commits_nothing_and_comes_back_as_a_new_member() -> None:
    async with world() as w:
        zombie, other = await w.add(), await w.add()
        await w.send(200)
        w.expel(zombie)
        await w.send(200)
        await w.check()
        assert zombie.runners()
        assert other.runners()


@pytest.mark.parametrize("seed", range(12))
async def test_through_any_coming_and_going_each_event_counts_once(seed: int) -> None:
    chance = random.Random(seed)
    async with world() as w:
        await w.add()
        for _ in range(25):
            act = chance.choice(["add", "remove", "kill", "expel", "send", "send", "wait"])
            if act == "add" and len(w.workers) < 5:
                await w.add()
            elif act in {"remove", "kill"} and len(w.workers) > 1:
                worker = chance.choice(w.workers)
                await (w.remove(worker) if act == "remove" else w.kill(worker))
            elif act == "expel":
                w.expel(chance.choice(w.workers))
            elif act == "send":
                await w.send(chance.randrange(1, 60))
            else:
                await anyio.sleep(chance.random() / 50)
        await w.check()
