"""After a crash: a torn tail is cut, durable bytes that changed are never cut nor served."""

import pytest
from millpond.log.errors import CorruptRecord
from millpond.log.model import Isolation
from millpond.log.shell.memory_disk import MemoryDisk
from millpond.log.storage.partition_log import PartitionLog
from millpond.tests.twins.partition_twin import (
    DIRECTORY,
    PARTITION,
    consume,
    end,
    flush,
    make_log,
    put,
    put_as,
    reopen,
    values,
)

COMMITTED = Isolation.READ_COMMITTED
BATCH = 70
"""The size of a batch that holds one letter."""
FIRST = f"{DIRECTORY}/{0:020d}.log"


def two_synced_and_two_not(disk: MemoryDisk) -> PartitionLog:
    """A log whose first two batches are durable, as the recovery point will tell."""
    log = make_log(disk)
    put(log, b"a")
    put(log, b"b")
    flush(log)
    put(log, b"c")
    put(log, b"d")
    return log


def position_of(log: PartitionLog, offset: int) -> int:
    place = log.segments[-1].locate(offset)
    assert place is not None
    return place.position


def test_a_killed_process_loses_nothing() -> None:
    disk = MemoryDisk()
    two_synced_and_two_not(disk)
    disk.crash(lose_unsynced=False)
    log = reopen(disk, clean=False, recovery_point=2)
    assert values(consume(log)) == [b"a", b"b", b"c", b"d"]
    assert log.flushed_offset == 4


def test_a_power_cut_leaves_what_was_synced() -> None:
    disk = MemoryDisk()
    two_synced_and_two_not(disk)
    disk.crash(lose_unsynced=True)
    log = reopen(disk, clean=False, recovery_point=2)
    assert values(consume(log)) == [b"a", b"b"]
    assert put(log, b"e").base_offset == 2


def test_a_torn_tail_is_cut_at_every_byte() -> None:
    disk = MemoryDisk()
    log = two_synced_and_two_not(disk)
    ends = [position_of(log, 3), log.size]
    whole = disk.read(FIRST)
    for size in range(position_of(log, 2), len(whole)):
        disk.replace(FIRST, whole[:size])
        survivor = reopen(disk, clean=False, recovery_point=2)
        assert survivor.log_end_offset == 2 + sum(size >= end for end in ends)
        assert len(disk.read(FIRST)) == survivor.size


def test_a_flipped_bit_before_the_recovery_point_is_corruption() -> None:
    for position in range(2 * BATCH):
        disk = MemoryDisk()
        log = two_synced_and_two_not(disk)
        boundary = position_of(log, 1)
        assert position_of(log, 2) == 2 * BATCH
        disk.flip_bit(FIRST, position, 3)
        with pytest.raises(CorruptRecord) as caught:
            reopen(disk, clean=False, recovery_point=2)
        assert caught.value.partition == PARTITION
        assert caught.value.file == FIRST
        assert caught.value.position == (0 if position < boundary else boundary)
        assert caught.value.expected != caught.value.found


def test_a_flipped_bit_behind_the_recovery_point_is_a_torn_tail() -> None:
    for position in range(2 * BATCH, 4 * BATCH):
        disk = MemoryDisk()
        two_synced_and_two_not(disk)
        disk.flip_bit(FIRST, position, 3)
        log = reopen(disk, clean=False, recovery_point=2)
        assert log.log_end_offset == (2 if position < 3 * BATCH else 3)


def test_durable_bytes_that_are_missing_are_corruption() -> None:
    disk = MemoryDisk()
    log = two_synced_and_two_not(disk)
    disk.replace(FIRST, disk.read(FIRST)[: position_of(log, 1)])
    with pytest.raises(CorruptRecord) as caught:
        reopen(disk, clean=False, recovery_point=2)
    assert caught.value.position == position_of(log, 1)


def test_corruption_is_left_as_it_is() -> None:
    disk = MemoryDisk()
    two_synced_and_two_not(disk)
    disk.flip_bit(FIRST, 65)
    before = disk.read(FIRST)
    for _attempt in range(2):
        with pytest.raises(CorruptRecord):
            reopen(disk, clean=False, recovery_point=2)
    assert disk.read(FIRST) == before


def test_segments_behind_a_hole_are_cut_as_well() -> None:
    disk = MemoryDisk()
    log = make_log(disk, segment_bytes="100")
    for n in range(4):
        put(log, b"%d" % n)
    disk.replace(f"{DIRECTORY}/{1:020d}.log", b"")  # its pages were never written
    log = reopen(disk, clean=False, recovery_point=1, segment_bytes="100")
    assert values(consume(log)) == [b"0"]
    assert [name for name in disk.list(DIRECTORY) if name.endswith(".log")] == [
        f"{0:020d}.log",
        f"{1:020d}.log",
    ]
    put(log, b"new")
    assert values(consume(log)) == [b"0", b"new"]


def test_segments_before_the_recovery_point_are_not_read_again() -> None:
    disk = MemoryDisk()
    log = make_log(disk, segment_bytes="150")  # two batches each
    for n in range(10):
        put(log, b"%d" % n)
    flush(log)
    disk.flip_bit(f"{DIRECTORY}/{2:020d}.log", 65)
    log = reopen(disk, clean=False, recovery_point=8, segment_bytes="150")
    assert log.log_end_offset == 10
    with pytest.raises(CorruptRecord):
        reopen(disk, clean=False, recovery_point=3, segment_bytes="150")


def test_producers_and_transactions_are_derived_again() -> None:
    disk = MemoryDisk()
    log = make_log(disk, segment_bytes="300")
    for n in range(6):
        put_as(log, 7, b"x", sequence=n)
    put_as(log, 8, b"aborted", transactional=True)
    end(log, 8, commit=False)
    put_as(log, 9, b"open", transactional=True)
    expected = values(consume(log, COMMITTED))
    for clean in (False, True, False):
        if clean:
            log.close(0)
        log = reopen(disk, clean=clean, segment_bytes="300")
        assert log.last_stable_offset == 8
        assert values(consume(log, COMMITTED)) == expected
        assert put_as(log, 7, b"x", sequence=5).duplicate
    end(log, 9, commit=True)
    assert values(consume(log, COMMITTED)) == [*expected, b"open"]


@pytest.mark.parametrize("suffix", [".index", ".timeindex", ".snapshot", "leader-epoch-checkpoint"])
@pytest.mark.parametrize("damage", ["removed", "shortened"])
def test_derived_files_may_be_lost(suffix: str, damage: str) -> None:
    disk = MemoryDisk()
    log = make_log(disk, 4, segment_bytes="300", index_interval_bytes="0")
    for n in range(20):
        put_as(log, 7, b"%d" % n, sequence=n, timestamp=n)
    log.close(0)
    names = [name for name in disk.list(DIRECTORY) if name.endswith(suffix)]
    assert names
    for name in names:
        path = f"{DIRECTORY}/{name}"
        if damage == "removed":
            disk.remove(path)
        elif suffix != "leader-epoch-checkpoint":  # put in place atomically, so never short
            disk.replace(path, disk.read(path)[:-5])
    log = reopen(disk, clean=False, segment_bytes="300")
    assert [record.timestamp for record in consume(log)] == list(range(20))
    assert log.offset_for_time(13) == 13
    assert put_as(log, 7, b"19", sequence=19).duplicate
    assert log.epoch_end_offset(4) == 20


def test_a_clean_stop_is_trusted_without_reading_batches() -> None:
    disk = MemoryDisk()
    log = make_log(disk)
    put(log, b"a")
    put(log, b"b")
    log.close(0)
    disk.flip_bit(FIRST, 65)
    assert reopen(disk, clean=True).log_end_offset == 2


def test_another_process_may_look_on() -> None:
    disk = MemoryDisk()
    log = make_log(disk, segment_bytes="300")
    for n in range(10):
        put(log, b"%d" % n)
    put_as(log, 7, b"open", transactional=True)
    before = {name: disk.read(f"{DIRECTORY}/{name}") for name in disk.list(DIRECTORY)}
    active = log.segments[-1].file
    torn = active.read_at(0, BATCH - 1)
    active.append(torn)  # the writer is in the middle of its next batch
    reader = reopen(disk, clean=False, read_only=True)
    assert values(consume(reader)) == [*(b"%d" % n for n in range(10)), b"open"]
    assert values(consume(reader, COMMITTED)) == [b"%d" % n for n in range(10)]
    reader.close(0)
    active.truncate(active.size - len(torn))
    assert {name: disk.read(f"{DIRECTORY}/{name}") for name in disk.list(DIRECTORY)} == before


def test_a_directory_without_a_partition_is_not_one() -> None:
    disk = MemoryDisk()
    disk.make_directory(DIRECTORY)
    with pytest.raises(FileNotFoundError):
        reopen(disk, clean=True)


def test_a_new_partition_survives_a_power_cut() -> None:
    disk = MemoryDisk()
    make_log(disk)
    disk.crash(lose_unsynced=True)
    assert reopen(disk, clean=False).log_end_offset == 0
