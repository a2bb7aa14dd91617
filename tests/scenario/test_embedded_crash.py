"""The power is cut before every single disk operation; afterwards nothing acknowledged is missing.

A commit is there in all partitions and in the group's offsets, or nowhere.
"""

import copy

import pytest
from millpond.tests.scenario.embedded_world import Life, until_power_cut

pytestmark = pytest.mark.anyio

Loss = tuple[bool, int | None]
LOSSES: dict[str, Loss] = {
    "process killed": (False, None),
    "unsynced lost": (True, None),
    "torn": (True, 7),
    "torn otherwise": (True, 8),
}


@pytest.fixture(params=LOSSES.values(), ids=list(LOSSES))
def loss(request: pytest.FixtureRequest) -> Loss:
    chosen: Loss = request.param
    return chosen


async def test_a_power_cut_at_every_operation_of_commits(loss: Loss) -> None:
    lose_unsynced, torn_seed = loss
    beginning = await Life.begin()
    survived = False
    after = 0
    while not survived:
        life = copy.deepcopy(beginning)
        life.disk.arm(after)
        survived = await until_power_cut(life, commits=2)
        life.disk.crash(lose_unsynced=lose_unsynced, torn_seed=torn_seed)
        async with life.open() as log:
            last = await life.check(log)
            assert last in {life.acknowledged, life.tried}
            life.tried = life.acknowledged = last
            producer = await log.transactional_producer("task-0")
            await life.commit(producer)
            assert await life.check(log) == last + 1
        async with life.open() as log:
            assert await life.check(log) == last + 1
        after += 1
    assert after > 50, "there is much that can be interrupted"


@pytest.mark.parametrize("stride", [17, pytest.param(5, marks=pytest.mark.long)])
async def test_a_power_cut_while_recovering_from_a_power_cut(loss: Loss, stride: int) -> None:
    lose_unsynced, torn_seed = loss
    beginning = await Life.begin()
    undisturbed = copy.deepcopy(beginning)
    assert await until_power_cut(undisturbed, commits=1)
    operations = undisturbed.disk.operations - beginning.disk.operations
    for after in range(0, operations, stride):
        interrupted = copy.deepcopy(beginning)
        interrupted.disk.arm(after)
        await until_power_cut(interrupted, commits=1)
        recovered = False
        again = 0
        while not recovered:
            life = copy.deepcopy(interrupted)
            life.disk.crash(lose_unsynced=lose_unsynced, torn_seed=torn_seed)
            life.disk.arm(again)
            recovered = await until_power_cut(life, commits=0)
            life.disk.crash(lose_unsynced=lose_unsynced, torn_seed=torn_seed)
            async with life.open() as log:
                last = await life.check(log)
                assert last in {life.acknowledged, life.tried}
            again += stride
