"""The power is cut before every step of a commit; afterwards everything has happened exactly once.

A step is an operation on the log's disk, or a write or flush of a task's store. An app with one of
everything works on a few clicks until it is cut off. What is left depends on what survived: it may be
what was synced, or all that was written; and a store may have flushed at any moment, or never. Started
again, the app must come to what plain loops over the log say. See the table in design/state.md.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from millpond.log.errors import MillpondError
from millpond.state.backend import Change, KeyRange
from millpond.state.memory import MemoryBackend
from millpond.streams.testing import AppTest
from millpond.tests.scenario.embedded_world import CutDisk, caused_by_power_cut
from millpond.tests.twins.streams import Click, Windows
from millpond.tests.twins.streams_world import Shape, World, make_world

pytestmark = pytest.mark.anyio

TUMBLING, HOPPING = Windows(10, 10, 5), Windows(15, 10, 0)
BEFORE = [Click("a", 1, 100), Click("b", 2, 101), Click("a", 3, 109)]
MEANWHILE = [  # closes windows of both tables; one comes too late
    Click("a", 4, 112),
    Click("b", 5, 104),
    Click("c", 6, 131),
    Click("a", 7, 100),
    Click("b", 8, 127),
]
AFTERWARDS = [Click("c", 9, 150), Click("a", 1, 151)]


class CutBackend(MemoryBackend):
    """A store whose operations are counted, and cut off, together with the disk's."""

    def __init__(self, disk: CutDisk) -> None:
        super().__init__("store")
        self._disk = disk

    def write(self, changes: Iterable[Change], delete_ranges: Iterable[KeyRange] = ()) -> None:
        self._disk.step("write", self.path)
        super().write(changes, delete_ranges)

    def flush(self) -> None:
        self._disk.step("sync", self.path)
        super().flush()


@dataclass
class Machine:
    """What survives an app: its disk and its stores; and what was promised about the log."""

    disk: CutDisk = field(default_factory=CutDisk)
    backends: dict[tuple[str, int], MemoryBackend] = field(default_factory=dict)
    acknowledged: int = 0
    settled: bool = False

    @classmethod
    def new(cls) -> "Machine":
        machine = cls()
        for name in ("count", "count_remainders"):
            machine.backends[name, 0] = CutBackend(machine.disk)
        return machine

    def host(self, world: World) -> AppTest:
        test = world.app.test()
        test._disk, test._backends = self.disk, self.backends
        return test

    def crash(self, *, lose_unsynced: bool, stores_flushed: bool) -> None:
        self.disk.crash(lose_unsynced=lose_unsynced)
        for backend in self.backends.values():
            backend.reopen()
            if stores_flushed:
                MemoryBackend.flush(backend)
            backend.crash()


async def send(world: World, machine: Machine, clicks: list[Click]) -> None:
    for key, value, time in clicks:
        await world.clicks.send(key=key, value=value, timestamp=time)
    await world.app.flush()
    machine.acknowledged += len(clicks)


async def until_power_cut(world: World, machine: Machine) -> bool:
    """Let the app work through some clicks; say whether the power stayed on."""
    try:
        async with machine.host(world) as t:
            await send(world, machine, MEANWHILE)
            await t.settle()
            machine.settled = True
    except MillpondError as error:
        if not caused_by_power_cut(error):
            raise
        return False
    return True


async def check_what_is_left(world: World, machine: Machine) -> None:
    """Start again, and find everything done once; go on, and find the same."""
    async with machine.host(world) as t:
        assert len(await t.records(world.clicks)) >= machine.acknowledged
        await t.settle()
        await world.check(t)
        await send(world, machine, AFTERWARDS)
        await t.settle()
        await world.check(t)


async def beginning(world: World) -> Machine:
    """Return a machine on which the app has run and was stopped in order."""
    machine = Machine.new()
    async with machine.host(world) as t:
        await send(world, machine, BEFORE)
        await t.settle()
        await world.check(t)
    return machine


LOSSES = [
    pytest.param((lose_unsynced, stores_flushed), id=f"{cut}, {stores}")
    for lose_unsynced, cut in ((True, "power lost"), (False, "killed"))
    for stores_flushed, stores in ((True, "stores flushed"), (False, "stores lost"))
]


async def cut_off_and_check(
    first: int, stride: int, loss: tuple[bool, bool], *, while_stopping: bool
) -> None:
    """Cut the app off before step `first`, and every `stride` steps from there to its end."""
    world = make_world(1, TUMBLING, HOPPING, Shape())
    begun = await beginning(world)
    done, steps = False, first
    while not done:
        machine = copy.deepcopy(begun)
        machine.disk.arm(steps)
        survived = await until_power_cut(world, machine)
        done = survived or (machine.settled and not while_stopping)
        machine.crash(lose_unsynced=loss[0], stores_flushed=loss[1])
        await check_what_is_left(world, machine)
        steps += stride
    assert steps > 150, "there is much that can be cut off"


@pytest.mark.parametrize("loss", LOSSES)
async def test_cut_off_before_every_step(loss: tuple[bool, bool]) -> None:
    """The four kinds of loss take turns, so every step has its cut in one of these tests."""
    turn = [param.values[0] for param in LOSSES].index(loss)
    await cut_off_and_check(turn, len(LOSSES), loss, while_stopping=False)


@pytest.mark.long
@pytest.mark.parametrize("loss", LOSSES)
async def test_cut_off_before_every_step_with_every_loss(loss: tuple[bool, bool]) -> None:
    await cut_off_and_check(0, 1, loss, while_stopping=True)
