"""What a task sees of its stores, and what they leave alone."""

from collections.abc import Iterator, Sequence

import pytest
from millpond.state.errors import ValueRefused, ValueUnreadable
from millpond.state.memory import MemoryBackend
from millpond.tests.twins.state_world import MemoryDisk, World


class CountingBackend(MemoryBackend):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.gets = self.batched_gets = self.rows_read = 0

    def get(self, key: bytes) -> bytes | None:
        self.gets += 1
        return super().get(key)

    def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        self.batched_gets += 1
        return super().get_many(keys)

    def range(
        self, lo: bytes, hi: bytes, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        for row in super().range(lo, hi, reverse=reverse, limit=limit):
            self.rows_read += 1
            yield row


@pytest.fixture
def world() -> World:
    disk = MemoryDisk()
    disk.backend = CountingBackend()
    return World(disk)


def counting(world: World) -> CountingBackend:
    assert isinstance(world.backend, CountingBackend)
    return world.backend


def changed_keys(world: World, changelog: str) -> list[bytes | None]:
    return [record.key for record in world.changelogs[changelog].records]


# Mutable values


def test_value_changed_in_place_is_committed(world: World) -> None:
    world.lists.put("a", [1])
    world.commit()
    value = world.lists.get("a")
    assert value is not None
    value.append(2)
    world.commit()
    world.crash()
    assert world.lists.get("a") == [1, 2]


def test_value_that_was_only_looked_at_is_not_written_again(world: World) -> None:
    world.lists.put("a", [1])
    world.logs.put(0, "a", [1])
    world.commit()
    assert world.lists.get("a") == world.logs.get(0, "a") == [1]
    assert list(world.lists.items()) == list(world.logs.items(0)) == [("a", [1])]
    world.commit()
    assert len(changed_keys(world, "lists")) == len(changed_keys(world, "logs")) == 1


def test_default_becomes_an_entry_only_when_it_is_changed(world: World) -> None:
    looked_at = world.lists.get_or_default("a", list)
    world.lists.get_or_default("b", list).append(1)
    assert world.lists.get_or_default("a", list) is looked_at
    assert not world.lists.contains("a")
    assert world.lists.contains("b")
    assert list(world.lists.items()) == [("b", [1])]
    assert world.lists.count_up_to() == 1
    world.commit()
    assert changed_keys(world, "lists") == [b"b"]


def test_default_handed_out_before_a_deletion_is_forgotten(world: World) -> None:
    stale = world.lists.get_or_default("a", list)
    world.lists.delete("a")
    stale.append(1)
    assert world.lists.get("a") is None
    fresh = world.lists.get_or_default("a", list)
    fresh.append(2)
    assert world.lists.get("a") == [2]


def test_object_kept_across_a_commit_can_not_reach_the_state(world: World) -> None:
    kept = [1]
    world.lists.put("a", kept)
    world.commit()
    kept.append(2)
    assert world.lists.get("a") == [1]
    world.commit()
    world.crash()
    assert world.lists.get("a") == [1]


def test_same_object_is_handed_out_within_a_commit(world: World) -> None:
    world.lists.put("a", [1])
    world.commit()
    assert world.lists.get("a") is world.lists.get("a")
    assert next(world.lists.items())[1] is world.lists.get("a")


def test_iteration_across_a_commit_shows_and_keeps_what_was_committed(world: World) -> None:
    for key in "abc":
        world.lists.put(key, [0])
        world.totals.put(key, 0)
    world.commit()
    lists, totals = world.lists.items(), world.totals.items()
    next(lists), next(totals)
    for key in "bc":
        world.lists.get_or_default(key, list).append(1)
        world.totals.put(key, 1)
    world.commit()
    assert list(totals) == [("b", 1), ("c", 1)]
    for _, value in lists:
        value.append(2)
    world.commit()
    assert world.contents()["lists"] == {"a": [0], "b": [0, 1, 2], "c": [0, 1, 2]}


# What is refused


def test_value_of_another_type_is_refused_with_its_key(world: World) -> None:
    world.totals.put("good", 1)
    world.totals.put("bad", "text")  # type: ignore[arg-type]
    with pytest.raises(ValueRefused, match=r"store 'totals': 'text' under key 'bad'"):
        world.commit()
    world.state.rollback()
    world.totals.put("good", 2)
    world.commit()
    assert world.contents()["totals"] == {"good": 2}


def test_changed_value_that_no_longer_fits_is_refused(world: World) -> None:
    world.lists.get_or_default("a", list).append(object())  # type: ignore[arg-type]
    with pytest.raises(ValueRefused, match="'lists'"):
        world.drain()


def test_unreadable_bytes_name_store_and_key(world: World) -> None:
    world.backend.write([(world.totals.prefix + b"a", b"short")])
    world.totals.reload()
    with pytest.raises(ValueUnreadable, match=r"'totals': under key b'a'.*int takes 8 bytes"):
        world.totals.get("a")


def test_none_deletes(world: World) -> None:
    world.totals.put("a", 1)
    world.commit()
    world.totals.put("a", None)  # type: ignore[arg-type]
    assert world.totals.get("a", 7) == 7
    world.commit()
    assert world.rebuilt().contents()["totals"] == {}


# Commits


def test_one_changelog_record_for_each_key_however_often_it_changed(world: World) -> None:
    for number in range(100):
        world.totals.put("a", number)
        world.minutes.put(0, "a", number)
    world.totals.put("b", 1)
    world.totals.delete("b")
    drained = world.drain()
    assert [(key, value is None) for key, value, _, _ in drained["totals"]] == [
        (b"a", False),
        (b"b", True),
    ]
    assert len(drained["minutes"]) == 1


def test_nothing_to_commit_makes_no_records(world: World) -> None:
    assert world.drain() == {}
    world.state.apply({}, world.now)
    assert world.state.dirty_count == world.state.dirty_bytes == 0


def test_dirty_counts_tell_when_to_commit(world: World) -> None:
    for number in range(50):
        world.totals.put(str(number), number)
        world.minutes.put(number, "a", number)
    assert world.state.dirty_count == 100
    assert 100 * 100 < world.state.dirty_bytes < 100 * 1000
    world.commit()
    assert world.state.dirty_count == world.state.dirty_bytes == 0


# Windows


def test_closed_window_leaves_no_tombstones_and_no_last_records(world: World) -> None:
    for key in "abc":
        world.minutes.put(0, key, 1)
    world.minutes.put(60, "a", 1)
    world.commit()
    world.minutes.put(0, "a", 2)
    assert world.minutes.close_before(60) == [(0, "a", 2), (0, "b", 1), (0, "c", 1)]
    assert world.drain() == {}
    world.state.apply({}, world.now)
    assert world.minutes.view().starts() == world.minutes.starts() == [60]


def test_window_is_closed_once(world: World) -> None:
    world.minutes.put(0, "a", 1)
    assert world.minutes.close_before(60)
    assert world.minutes.close_before(60) == []
    world.commit()
    world.crash()
    assert world.minutes.close_before(60) == []


def test_rollback_opens_closed_windows_again(world: World) -> None:
    world.minutes.put(0, "a", 1)
    world.commit()
    final = world.minutes.close_before(60)
    world.drain()
    world.state.rollback()
    world.minutes.put(0, "b", 1)
    assert world.minutes.close_before(60) == [*final, (0, "b", 1)]


def test_closed_window_takes_no_more_entries(world: World) -> None:
    world.minutes.close_before(60)
    assert world.minutes.get(0, "a") is None
    assert world.minutes.get_or_default(0, "a", int) == 0
    with pytest.raises(AssertionError, match="has been closed"):
        world.minutes.put(0, "a", 1)
    world.commit({"minutes": 60})
    world.crash()
    with pytest.raises(AssertionError, match="has been closed"):
        world.minutes.put(0, "a", 1)


def test_windows_before_the_epoch_come_first(world: World) -> None:
    for start in (60, -60, 0, -120):
        world.minutes.put(start, "a", start)
    world.commit()
    world.restart()
    assert world.minutes.starts() == [-120, -60, 0, 60]
    assert list(world.minutes.fetch("a", lo=-60, hi=60)) == [(-60, -60), (0, 0)]
    assert [start for start, _, _ in world.minutes.close_before(0)] == [-120, -60]


def test_restart_finds_open_windows_without_reading_them(world: World) -> None:
    for start in range(0, 600, 60):
        for key in range(100):
            world.minutes.put(start, str(key), key)
    world.commit()
    world.restart()
    before = counting(world).rows_read
    world.minutes.reload()
    assert len(world.minutes.starts()) == 10
    assert counting(world).rows_read - before == 10


def test_closing_reads_only_the_windows_that_close(world: World) -> None:
    for start in range(0, 600, 60):
        for key in range(100):
            world.minutes.put(start, str(key), key)
    world.commit()
    world.restart()
    before = counting(world).rows_read
    assert len(world.minutes.close_before(60)) == 100
    assert world.minutes.close_before(60) == []
    assert counting(world).rows_read - before == 100


# Reads that are saved


def test_new_window_never_asks_the_backend(world: World) -> None:
    world.minutes.put(0, "x", 1)
    world.commit()
    before = counting(world).gets
    for key in "abcabc":
        world.minutes.put(60, key, world.minutes.get(60, key, 0) + 1)
    world.commit()
    assert world.minutes.get(60, "a") == 2
    assert world.minutes.get(60, "unknown") is None
    assert counting(world).gets == before


def test_key_is_read_once_also_when_it_is_not_there(world: World) -> None:
    world.totals.put("a", 1)
    world.commit()
    world.restart()
    before = counting(world).gets
    for _ in range(10):
        assert world.totals.get("a") == 1
        assert world.totals.get("missing") is None
    assert counting(world).gets - before == 2


def test_prefetch_reads_together_once_misses_are_frequent(world: World) -> None:
    for number in range(1000):
        world.totals.put(f"{number:04}", number)
    world.commit()
    world.restart()
    backend = counting(world)
    before = backend.gets
    for batch in range(10):
        keys = [f"{number:04}" for number in range(batch * 100, batch * 100 + 100)]
        world.totals.prefetch(keys)
        assert [world.totals.get(key) for key in keys] == [int(key) for key in keys]
    assert backend.gets - before <= 200
    assert backend.batched_gets >= 8


def test_prefetch_leaves_a_working_set_that_is_cached_alone(world: World) -> None:
    for number in range(100):
        world.totals.put(f"{number:04}", number)
    world.commit()
    world.restart()
    backend = counting(world)
    keys = [f"{number:04}" for number in range(100)]
    for _ in range(50):
        world.totals.prefetch(keys)
        for key in keys:
            world.totals.get(key)
    assert backend.batched_gets < 20
    assert backend.gets + backend.batched_gets < 220
