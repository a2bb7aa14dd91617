"""The order of a commit: wherever it is cut off, what the log has is what the next start has."""

from collections.abc import Callable
from pathlib import Path

import pytest
from millpond.state.cache import CacheBudget
from millpond.state.errors import UnknownFormat
from millpond.state.keys import META_FORMAT
from millpond.state.memory import MemoryBackend
from millpond.state.restore import ChangelogFacts
from millpond.state.rocks import RocksEnvironment
from millpond.state.task_state import TaskState
from millpond.tests.twins.state_world import (
    INT,
    LIST,
    TEXT,
    Changelog,
    Disk,
    MemoryDisk,
    RocksDisk,
    World,
)


@pytest.fixture(params=["memory", "rocks"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    if request.param == "memory":
        return MemoryDisk()
    return RocksDisk(tmp_path, RocksEnvironment(16 << 20))


def first_commit(world: World) -> None:
    world.totals.put("a", 1)
    world.lists.put("a", [1])
    world.minutes.put(0, "a", 1)
    world.minutes.put(60, "a", 1)
    world.commit()


def second_commit(world: World) -> None:
    world.totals.put("a", 2)
    world.totals.delete("b")
    world.lists.get_or_default("a", list).append(2)
    world.minutes.close_before(60)
    world.minutes.put(60, "a", 2)


FIRST = {
    "totals": {"a": 1},
    "lists": {"a": [1]},
    "minutes": {0: {"a": 1}, 60: {"a": 1}},
    "logs": {},
}
SECOND = {"totals": {"a": 2}, "lists": {"a": [1, 2]}, "minutes": {60: {"a": 2}}, "logs": {}}


def while_processing(world: World) -> None:
    pass


def after_drain(world: World) -> None:
    world.drain()


def after_log(world: World) -> None:
    world.append(world.drain(), {"minutes": 60})


def after_apply(world: World) -> None:
    world.state.apply(world.append(world.drain(), {"minutes": 60}), world.now)


def after_flush(world: World) -> None:
    after_apply(world)
    world.backend.flush()


@pytest.mark.parametrize("flush_first", [True, False])
@pytest.mark.parametrize(
    ("cut_off", "expected"),
    [
        (while_processing, FIRST),
        (after_drain, FIRST),
        (after_log, SECOND),
        (after_apply, SECOND),
        (after_flush, SECOND),
    ],
)
def test_crash_leaves_what_the_log_has(
    disk: Disk, cut_off: Callable[[World], None], expected: dict, flush_first: bool
) -> None:
    world = World(disk)
    first_commit(world)
    if flush_first:
        world.backend.flush()
    second_commit(world)
    cut_off(world)
    world.crash()
    assert world.contents() == expected
    assert world.rebuilt().data() == world.data()
    world.state.close()


def test_restart_after_close_reads_no_changelog(disk: Disk) -> None:
    world = World(disk)
    first_commit(world)
    restore = world.restart()
    assert set(restore.reasons.values()) == {"resumed"}
    assert restore.record_count == 0
    assert world.contents() == FIRST
    world.state.close()


def test_processing_goes_on_while_a_commit_is_under_way() -> None:
    world = World()
    world.totals.put("a", 1)
    world.lists.put("a", [1])
    positions = world.commit_to_log()
    world.totals.put("a", world.totals.get_or_default("a", int) + 1)
    world.lists.get_or_default("a", list).append(2)
    world.state.apply(positions, world.now)
    world.commit()
    world.crash()
    assert (world.totals.get("a"), world.lists.get("a")) == (2, [1, 2])


def test_rollback_drops_the_commit_under_way_and_what_came_after() -> None:
    world = World()
    first_commit(world)
    second_commit(world)
    world.drain()
    world.totals.put("c", 3)
    world.state.rollback()
    assert world.contents() == FIRST


# What a backend remembers of what it was made for


def state_over(
    backend: MemoryBackend, changelogs: dict[str, Changelog], *, partitions: int = 8
) -> tuple[TaskState, Callable[[], dict[str, str]]]:
    state = TaskState(backend, partitions=partitions, budget=CacheBudget(), where="here")

    def restore() -> dict[str, str]:
        facts: dict[str, ChangelogFacts] = {
            name: log.facts(state.positions.get(name)) for name, log in changelogs.items()
        }
        restore = state.restore(facts, 0)
        while not restore.done:
            for name, offset in restore.offsets.items():
                restore.feed(changelogs[name].read(offset))
        restore.finish(0)
        return restore.reasons

    return state, restore


def committed(state: TaskState, changelogs: dict[str, Changelog]) -> None:
    drained = state.drain(1)
    state.apply({name: changelogs[name].append(records) for name, records in drained.items()}, 1)


def test_stores_keep_their_data_when_they_are_registered_in_another_order() -> None:
    backend, logs = MemoryBackend(), {name: Changelog(name) for name in ("x", "y")}
    state, restore = state_over(backend, logs)
    x = state.key_value("x", changelog="x", key=TEXT, value=INT)
    y = state.key_value("y", changelog="y", key=TEXT, value=INT)
    restore()
    x.put("a", 1)
    y.put("a", 2)
    committed(state, logs)

    state, restore = state_over(backend, logs)
    y = state.key_value("y", changelog="y", key=TEXT, value=INT)
    x = state.key_value("x", changelog="x", key=TEXT, value=INT)
    assert restore() == {"x": "resumed", "y": "resumed"}
    assert (x.get("a"), y.get("a")) == (1, 2)


def test_store_that_is_declared_anew_is_rebuilt_alone() -> None:
    backend, logs = MemoryBackend(), {name: Changelog(name) for name in ("x", "y")}
    state, restore = state_over(backend, logs)
    x = state.key_value("x", changelog="x", key=TEXT, value=INT)
    y = state.windowed("y", changelog="y", key=TEXT, value=INT, window="tumbling 60000")
    restore()
    x.put("a", 1)
    y.put(0, "a", 1)
    committed(state, logs)

    state, restore = state_over(backend, logs)
    x = state.key_value("x", changelog="x", key=TEXT, value=INT)
    y = state.windowed("y", changelog="y", key=TEXT, value=INT, window="tumbling 1000")
    reasons = restore()
    assert reasons["x"] == "resumed"
    assert "new" in reasons["y"]
    assert list(y.fetch("a")) == [(0, 1)]


def test_store_whose_type_changed_reads_its_changelog_as_the_new_type() -> None:
    backend, logs = MemoryBackend(), {"x": Changelog("x")}
    state, restore = state_over(backend, logs)
    state.key_value("x", changelog="x", key=TEXT, value=LIST)
    restore()
    state, restore = state_over(backend, logs)
    x = state.key_value("x", changelog="x", key=TEXT, value=INT)
    assert "new" in restore()["x"]
    assert x.get("a") is None


def test_other_partition_count_makes_all_data_useless() -> None:
    backend, logs = MemoryBackend(), {"x": Changelog("x")}
    state, restore = state_over(backend, logs)
    x = state.key_value("x", changelog="x", key=TEXT, value=INT)
    restore()
    x.put("a", 1)
    committed(state, logs)
    state, restore = state_over(backend, logs, partitions=9)
    x = state.key_value("x", changelog="x", key=TEXT, value=INT)
    assert x.get("a") is None
    assert list(x.items()) == []
    assert "new" in restore()["x"]


def test_unknown_format_is_refused_and_left_alone() -> None:
    backend = MemoryBackend()
    backend.write([(META_FORMAT, b'{"format":99,"partitions":8}'), (b"\x00\x01Ka", b"1")])
    with pytest.raises(UnknownFormat, match="here has format 99"):
        state_over(backend, {})
    assert backend.get(b"\x00\x01Ka") == b"1"


def test_two_stores_can_not_share_a_changelog() -> None:
    state, _ = state_over(MemoryBackend(), {})
    state.key_value("x", changelog="x", key=TEXT, value=INT)
    with pytest.raises(AssertionError, match="share the changelog"):
        state.key_value("y", changelog="x", key=TEXT, value=INT)
