"""Compaction keeps the latest of each key, and tombstones and markers for as long as it must."""

import pytest
from millpond.log.batch import check_batch
from millpond.log.errors import CorruptRecord
from millpond.log.model import Compression, Isolation
from millpond.log.records import batches_in, decode_batch, encode_batch, stamp_crc
from millpond.log.shell.memory_disk import MemoryDisk
from millpond.log.storage.partition_log import PartitionLog
from millpond.tests.twins.partition_twin import (
    DIRECTORY,
    consume,
    end,
    make_log,
    put,
    put_as,
    reopen,
    values,
)

COMMITTED = Isolation.READ_COMMITTED
RETENTION_MS = 1000


def compacted_topic(disk: MemoryDisk, **config: str) -> PartitionLog:
    return make_log(disk, cleanup_policy="compact", delete_retention_ms=str(RETENTION_MS), **config)


def write(log: PartitionLog, key: bytes, value: bytes | None, *, now: int = 0) -> None:
    log.append(encode_batch([(key, value, now, ())]), leader_epoch=0, now=now)


def append_raw(log: PartitionLog, batch: bytearray) -> None:
    """Append what only a topic takes that isn't compacted yet."""
    log.append(batch, leader_epoch=0, now=0, trusted=True)


def compact(log: PartitionLog, now: int = 0) -> None:
    log.roll(now)
    log.compact(now, force=True)


def table(log: PartitionLog) -> list[tuple[int, bytes | None, bytes | None]]:
    return [(r.offset, r.key, r.value) for r in consume(log)]


def test_the_latest_of_each_key_stays_at_its_offset() -> None:
    log = compacted_topic(MemoryDisk())
    for n in range(10):
        write(log, b"ab"[n % 2 : n % 2 + 1], b"%d" % n)
    compact(log)
    assert table(log) == [(8, b"a", b"8"), (9, b"b", b"9")]
    assert log.log_end_offset == 10
    assert values(consume(log, offset=3)) == [b"8", b"9"]


def test_the_active_segment_is_left_alone() -> None:
    log = compacted_topic(MemoryDisk())
    write(log, b"a", b"1")
    write(log, b"a", b"2")
    assert log.compact(0, force=True) is None
    log.roll(0)
    write(log, b"a", b"3")
    log.compact(0, force=True)
    assert values(consume(log)) == [b"2", b"3"]


@pytest.mark.parametrize("codec", Compression)
def test_a_batch_that_loses_records_keeps_its_form(codec: Compression) -> None:
    log = compacted_topic(MemoryDisk())
    batch = encode_batch(
        [(b"k%d" % (n % 3), b"v%d" % n, 100 + n, [("h", b"%d" % n)]) for n in range(9)],
        producer_id=7,
        producer_epoch=2,
        base_sequence=40,
        compression=codec,
    )
    log.append(batch, leader_epoch=6, now=0)
    compact(log)
    ((header, left),) = batches_in(log.read(0, 10_000, COMMITTED).data, check_crc=True)
    assert (header.base_offset, header.last_offset, header.record_count) == (0, 8, 3)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (7, 2, 40)
    assert (header.leader_epoch, header.compression, header.max_timestamp) == (6, codec, 108)
    assert [
        (r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in decode_batch(left)
    ] == [
        (6, 106, b"k0", b"v6", [("h", b"6")]),
        (7, 107, b"k1", b"v7", [("h", b"7")]),
        (8, 108, b"k2", b"v8", [("h", b"8")]),
    ]


def test_a_tombstone_stays_until_its_horizon_and_then_goes() -> None:
    log = compacted_topic(MemoryDisk())
    write(log, b"a", b"1", now=50)
    write(log, b"a", None, now=60)
    compact(log, now=100)
    assert table(log) == [(1, b"a", None)]
    assert consume(log)[0].timestamp == 60
    ((header, batch),) = batches_in(log.read(0, 1000, COMMITTED).data)
    assert header.delete_horizon == 100 + RETENTION_MS
    assert check_batch(batch).record_count == 1

    write(log, b"b", b"1", now=200)
    compact(log, now=99 + RETENTION_MS)
    assert (1, b"a", None) in table(log)

    write(log, b"b", b"2", now=300)
    compact(log, now=100 + RETENTION_MS)
    assert table(log) == [(3, b"b", b"2")]


def test_records_without_a_key_go() -> None:
    log = compacted_topic(MemoryDisk())
    append_raw(log, encode_batch([(None, b"x", 0, ()), (b"k", b"v", 0, ())]))
    compact(log)
    assert values(consume(log)) == [b"v"]


def test_aborted_records_go_and_outdate_nothing() -> None:
    log = compacted_topic(MemoryDisk())
    write(log, b"k", b"good")
    put_as(log, 7, b"bad", transactional=True)
    end(log, 7, commit=False)
    compact(log)
    assert values(consume(log, COMMITTED)) == [b"good"]
    assert values(consume(log)) == [b"good"]


def test_a_marker_goes_after_its_records_and_its_horizon() -> None:
    log = compacted_topic(MemoryDisk())
    put_as(log, 7, b"1", transactional=True)
    end(log, 7, commit=True)
    put_as(log, 7, b"2", transactional=True, sequence=1)
    end(log, 7, commit=True)

    def markers() -> list[int]:
        batches = batches_in(log.read(0, 10_000, COMMITTED).data)
        return [header.base_offset for header, _batch in batches if header.is_control]

    def compact_again(now: int) -> None:
        write(log, b"other", b"x", now=now)
        compact(log, now)

    compact(log, now=0)
    assert markers() == [1, 3]  # the first transaction's record went just now
    compact_again(now=1)
    assert markers() == [1, 3]  # and from now its horizon counts
    compact_again(now=RETENTION_MS)
    assert markers() == [1, 3]
    compact_again(now=RETENTION_MS + 1)
    assert markers() == [3]
    assert values(consume(log, COMMITTED)) == [b"2", b"x"]


def test_the_last_batch_of_a_producer_is_kept_for_its_sequence() -> None:
    disk = MemoryDisk()
    log = compacted_topic(disk)
    put_as(log, 7, b"1", sequence=0)
    put_as(log, 7, b"2", sequence=1)
    put(log, b"3")
    compact(log)
    headers = [header for header, _batch in batches_in(log.read(0, 10_000, COMMITTED).data)]
    assert [(h.base_offset, h.record_count) for h in headers] == [(1, 0), (2, 1)]
    for name in disk.list(DIRECTORY):
        if name.endswith(".snapshot"):
            disk.remove(f"{DIRECTORY}/{name}")
    log = reopen(disk, clean=False, cleanup_policy="compact")
    assert put_as(log, 7, b"2", sequence=1).duplicate
    assert put_as(log, 7, b"4", sequence=2).base_offset == 3


def test_what_an_open_transaction_may_still_change_waits() -> None:
    log = compacted_topic(MemoryDisk())
    write(log, b"k", b"1")
    log.roll(0)
    put_as(log, 7, b"2", transactional=True)
    write(log, b"k", b"3")
    log.roll(0)
    log.compact(0, force=True)
    assert values(consume(log)) == [b"1", b"2", b"3"]
    end(log, 7, commit=True)
    compact(log)
    assert values(consume(log)) == [b"3"]


def test_young_segments_wait_when_asked() -> None:
    log = compacted_topic(MemoryDisk(), min_compaction_lag_ms="500")
    write(log, b"k", b"1", now=1000)
    write(log, b"k", b"2", now=1000)
    log.roll(0)
    assert log.compact(1499, force=True) is None
    assert log.compact(1500, force=True) is not None
    assert values(consume(log)) == [b"2"]


def test_a_log_is_compacted_when_enough_of_it_is_dirty() -> None:
    log = compacted_topic(MemoryDisk(), min_cleanable_dirty_ratio="0.5")
    for n in range(10):
        write(log, b"%d" % n, b"x")
    log.roll(0)
    assert log.compact(0) is not None  # all of it is dirty
    assert log.compact(0) is None
    for n in range(9):
        write(log, b"%d" % n, b"y")
    log.roll(0)
    assert log.compact(0) is None  # 9 of 19
    for n in range(5):
        write(log, b"%d" % n, b"z")
    log.roll(0)
    stats = log.compact(0)
    assert stats is not None
    assert (stats.records_before, stats.records_after) == (24, 10)
    assert stats.bytes_after < stats.bytes_before


def test_a_long_wait_compacts_whatever_the_ratio() -> None:
    log = compacted_topic(MemoryDisk(), min_cleanable_dirty_ratio="1", max_compaction_lag_ms="100")
    write(log, b"k", b"1", now=1000)
    write(log, b"k", b"2", now=1000)
    log.roll(0)
    assert log.compact(1100) is None
    assert log.compact(1101) is not None


def test_small_neighbours_are_merged() -> None:
    disk = MemoryDisk()
    log = compacted_topic(disk, segment_bytes="300")
    for n in range(40):
        write(log, b"%d" % (n % 2), b"x")
    for n in range(3):
        compact(log, n)
        write(log, b"0", b"y")
    assert len(log.segments) <= 4
    names = [name for name in disk.list(DIRECTORY) if name.endswith(".log")]
    assert len(names) == len(log.segments)


def test_a_topic_that_is_not_compacted_is_left_alone() -> None:
    log = make_log(MemoryDisk())
    write(log, b"k", b"1")
    log.roll(0)
    assert log.compact(0, force=True) is None


def test_a_copy_made_meanwhile_is_thrown_away_when_the_log_was_cut() -> None:
    disk = MemoryDisk()
    log = compacted_topic(disk, segment_bytes="100")
    for n in range(6):
        write(log, b"k", b"%d" % n)
    plan = log.plan_compaction(0, force=True)
    assert plan is not None
    plan.run()
    log.delete_before(2)
    assert log.finish_compaction(plan) is None
    assert values(consume(log)) == [b"2", b"3", b"4", b"5"]
    assert not [name for name in disk.list(DIRECTORY) if name.endswith(".cleaned")]


def test_appends_go_on_while_the_copy_is_made() -> None:
    log = compacted_topic(MemoryDisk(), segment_bytes="100")
    for n in range(4):
        write(log, b"k", b"%d" % n)
    plan = log.plan_compaction(0, force=True)
    assert plan is not None
    write(log, b"k", b"4")
    plan.run()
    write(log, b"k", b"5")
    stats = log.finish_compaction(plan)
    assert stats is not None
    assert values(consume(log)) == [b"2", b"3", b"4", b"5"]


def test_a_gap_that_compaction_left_is_no_loss_after_a_crash() -> None:
    disk = MemoryDisk()
    log = compacted_topic(disk, segment_bytes="200")
    for n in range(12):
        write(log, b"k", b"%d" % n)
    compact(log)
    disk.crash(lose_unsynced=True)
    again = reopen(disk, clean=False, recovery_point=12, cleanup_policy="compact")
    assert values(consume(again)) == values(consume(log)) == [b"11"]


def test_damage_under_compaction_is_reported_not_copied() -> None:
    disk = MemoryDisk()
    log = compacted_topic(disk)
    write(log, b"k", b"1")
    write(log, b"k", b"2")
    log.roll(0)
    disk.flip_bit(f"{DIRECTORY}/{0:020d}.log", 69)
    with pytest.raises(CorruptRecord):
        log.compact(0, force=True)
    assert log.log_end_offset == 2


# -- what a client may have sent before the topic was compacted ------------------------------------


def test_a_batch_that_can_not_be_read_stays_and_stops_nothing() -> None:
    log = compacted_topic(MemoryDisk())
    nonsense = encode_batch([(b"a", b"1", 0, ()), (b"b", b"2", 0, ())])
    nonsense[22] |= Compression.ZSTD  # it says so, and is not
    stamp_crc(nonsense)
    write(log, b"a", b"before")
    append_raw(log, nonsense)
    write(log, b"a", b"after")
    compact(log)
    kept = [header.base_offset for header, _batch in batches_in(log.read(0, 9999, COMMITTED).data)]
    assert kept == [1, 3]
    first, _second = [batch for _header, batch in batches_in(log.read(0, 9999, COMMITTED).data)]
    assert bytes(first)[21:] == nonsense[21:]


def test_a_bomb_stays_packed() -> None:
    log = compacted_topic(MemoryDisk())
    bomb = encode_batch([(b"a", bytes(70 << 20), 0, ())], compression=Compression.ZSTD)
    append_raw(log, bomb)
    write(log, b"a", b"after")
    compact(log)
    kept = [batch for _header, batch in batches_in(log.read(0, 1 << 20, COMMITTED).data)]
    assert len(kept) == 2
    assert len(kept[0]) == len(bomb)


def test_records_outside_of_their_batch_outdate_nothing() -> None:
    log = compacted_topic(MemoryDisk())
    forged = encode_batch([(b"a", b"far away", 0, ())])
    delta_at = 61 + 3  # behind the record's length, attributes and timestamp
    assert forged[delta_at] == 0
    forged[delta_at] = 16  # the record says that it is the ninth of its batch
    stamp_crc(forged)
    append_raw(log, forged)
    write(log, b"a", b"after")
    compact(log)
    values_kept = [
        record.value
        for header, each in batches_in(log.read(0, 9999, COMMITTED).data)
        if header.base_offset == 1
        for record in decode_batch(each)
    ]
    assert values_kept == [b"after"]
