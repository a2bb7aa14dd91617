"""Retention removes whole old segments, and never what a reader may not have seen yet."""

from millpond.log.shell.memory_disk import MemoryDisk
from millpond.log.storage.partition_log import PRODUCER_EXPIRATION_MS, PartitionLog
from millpond.tests.twins.partition_twin import (
    DIRECTORY,
    consume,
    end,
    flush,
    make_log,
    put,
    put_as,
    reopen,
    settings,
    values,
)

BATCH = 70


def ten_segments(disk: MemoryDisk, **config: str) -> PartitionLog:
    """Ten segments of one batch each, with timestamps 0, 1000, … 9000."""
    log = make_log(disk, segment_bytes="100", **config)
    for n in range(10):
        put(log, b"%d" % n, timestamp=n * 1000)
    return log


def test_old_segments_go() -> None:
    disk = MemoryDisk()
    log = ten_segments(disk, retention_ms="5000")
    assert log.clean(now=9000) == 4 * BATCH
    assert log.log_start_offset == 4
    assert values(consume(log)) == [b"4", b"5", b"6", b"7", b"8", b"9"]
    assert min(name for name in disk.list(DIRECTORY) if name.endswith(".log")) == f"{4:020d}.log"
    assert log.clean(now=9000) == 0
    again = reopen(disk, clean=False, segment_bytes="100")
    assert values(consume(again)) == [b"4", b"5", b"6", b"7", b"8", b"9"]


def test_a_log_that_expired_as_a_whole_is_empty_and_goes_on() -> None:
    log = ten_segments(MemoryDisk(), retention_ms="5000")
    assert log.clean(now=100_000) == 10 * BATCH
    assert (log.log_start_offset, log.log_end_offset, log.size) == (10, 10, 0)
    assert log.clean(now=100_000) == 0
    assert put(log, b"new").base_offset == 10


def test_the_oldest_go_while_there_are_too_many_bytes() -> None:
    log = ten_segments(MemoryDisk(), retention_bytes=str(4 * BATCH + 1), retention_ms="-1")
    assert log.clean(now=0) == 5 * BATCH
    assert values(consume(log)) == [b"5", b"6", b"7", b"8", b"9"]


def test_the_active_segment_does_not_go_for_its_size() -> None:
    log = ten_segments(MemoryDisk(), retention_bytes="0", retention_ms="-1")
    log.clean(now=0)
    assert values(consume(log)) == [b"9"]


def test_without_limits_all_stays() -> None:
    log = ten_segments(MemoryDisk(), retention_ms="-1")
    assert log.clean(now=10**15) == 0


def test_a_compacted_topic_keeps_its_records() -> None:
    log = ten_segments(MemoryDisk(), retention_ms="1", cleanup_policy="compact")
    assert log.clean(now=10**15) == 0
    log.config = settings(retention_ms="1", cleanup_policy="compact,delete")
    assert log.clean(now=10**15) == 10 * BATCH


def test_what_is_not_visible_yet_stays() -> None:
    log = make_log(MemoryDisk(), segment_bytes="100", retention_ms="1")
    log.durable_reads = True
    put(log, b"0")
    put(log, b"1")
    flush(log)
    put(log, b"2")
    put(log, b"3")
    log.clean(now=10**6)
    assert (log.log_start_offset, log.log_end_offset) == (2, 4)


def test_the_largest_timestamp_of_a_segment_counts() -> None:
    log = make_log(MemoryDisk(), segment_bytes="150", segment_ms="1000000", retention_ms="5000")
    for timestamp in (9000, 0, 0, 9000):
        put(log, b"v", timestamp=timestamp)
    assert log.clean(now=10_000) == 0


def test_aborted_transactions_are_forgotten_with_their_segments() -> None:
    log = make_log(MemoryDisk(), segment_bytes="300", retention_ms="5000")
    put_as(log, 7, b"x", transactional=True)
    end(log, 7, commit=False)
    put(log, b"keep", timestamp=9000)
    log.roll(9000)
    put(log, b"keep", timestamp=9000)
    log.clean(now=9000)
    assert len(log.aborted) == 1  # "keep" shares the segment
    log.clean(now=20_000)
    assert len(log.aborted) == 0


def test_producers_are_remembered_for_a_day() -> None:
    log = make_log(MemoryDisk())
    put_as(log, 7, b"x", sequence=0)
    put_as(log, 8, b"x", sequence=0, transactional=True)
    log.clean(now=PRODUCER_EXPIRATION_MS)
    assert put_as(log, 7, b"x", sequence=0).duplicate
    log.clean(now=PRODUCER_EXPIRATION_MS + 1)
    assert log.producers.get(7) is None
    assert log.producers.get(8) is not None  # its transaction is open
