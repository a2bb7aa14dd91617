"""A partition takes batches, answers retries, and shows each reader what it may see."""

import pytest
from millpond.log.errors import (
    DiskFailed,
    Fenced,
    InvalidRecord,
    InvalidTransactionState,
    OffsetOutOfRange,
    OutOfSequence,
    RecordTooLarge,
)
from millpond.log.model import Isolation
from millpond.log.records import batches_in, decode_batch, encode_batch, encode_marker
from millpond.log.shell.memory_disk import MemoryDisk
from millpond.tests.twins.partition_twin import (
    DIRECTORY,
    TOPIC_ID,
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
UNCOMMITTED = Isolation.READ_UNCOMMITTED


def test_batches_get_consecutive_offsets() -> None:
    log = make_log(MemoryDisk())
    first, second = put(log, b"a", b"b"), put(log, b"c")
    assert (first.base_offset, first.next_offset) == (0, 2)
    assert (second.base_offset, second.next_offset) == (2, 3)
    assert values(consume(log)) == [b"a", b"b", b"c"]


def test_a_read_begins_with_the_batch_that_holds_the_offset() -> None:
    log = make_log(MemoryDisk())
    put(log, b"a", b"b", b"c")
    put(log, b"d")
    (first, _), _rest = batches_in(log.read(2, 10_000, UNCOMMITTED).data)
    assert first.base_offset == 0
    assert [
        first.base_offset for first, _ in batches_in(log.read(3, 10_000, UNCOMMITTED).data)
    ] == [3]


def test_offsets_outside_the_log_are_refused() -> None:
    log = make_log(MemoryDisk())
    put(log, b"a", b"b")
    assert log.read(2, 100, UNCOMMITTED).data == b""
    for offset in (-1, 3):
        with pytest.raises(OffsetOutOfRange) as caught:
            log.read(offset, 100, UNCOMMITTED)
        assert (caught.value.start, caught.value.end) == (0, 2)


def test_segments_roll_by_size_and_reading_goes_across() -> None:
    disk = MemoryDisk()
    log = make_log(disk, segment_bytes="500")
    for n in range(30):
        put(log, b"%d" % n)
    assert len([name for name in disk.list(DIRECTORY) if name.endswith(".log")]) > 3
    assert values(consume(log, bytes_max=1)) == [b"%d" % n for n in range(30)]


def test_segments_roll_by_the_records_own_time() -> None:
    log = make_log(MemoryDisk(), segment_ms="1000")
    for timestamp in (5000, 6000, 6001, 7001, 7002):
        put(log, b"v", timestamp=timestamp)
    assert [segment.base_offset for segment in log.segments] == [0, 2, 4]


def test_append_time_is_stamped_where_the_topic_wants_it() -> None:
    log = make_log(MemoryDisk(), message_timestamp_type="LogAppendTime")
    result = log.append(encode_batch([(b"k", b"v", 5, ())]), leader_epoch=0, now=99)
    assert result.append_time == 99
    assert [record.timestamp for record in consume(log)] == [99]
    assert log.offset_for_time(99) == 0
    assert log.offset_for_time(100) is None


def test_a_batch_that_is_too_large_is_refused() -> None:
    log = make_log(MemoryDisk(), max_message_bytes="200")
    with pytest.raises(RecordTooLarge, match=r"max\.message\.bytes is 200"):
        put(log, b"x" * 200)
    log = make_log(MemoryDisk(), segment_bytes="200")
    with pytest.raises(RecordTooLarge, match=r"segment\.bytes is 200"):
        put(log, b"x" * 200)
    assert log.log_end_offset == 0


def test_damaged_and_forged_batches_are_refused() -> None:
    log = make_log(MemoryDisk())
    damaged = encode_batch([(b"k", b"v", 0, ())])
    damaged[-1] ^= 1
    forged = encode_marker(
        commit=True, producer_id=1, producer_epoch=0, coordinator_epoch=0, timestamp=0
    )
    for batch in (damaged, forged):
        with pytest.raises(InvalidRecord):
            log.append(batch, leader_epoch=0, now=0)
    assert log.log_end_offset == 0


def test_a_full_disk_refuses_and_loses_nothing() -> None:
    disk = MemoryDisk()
    log = make_log(disk)
    put_as(log, 7, b"a", sequence=0)
    disk.fail_after("write")
    with pytest.raises(DiskFailed):
        put_as(log, 7, b"b", sequence=1)
    assert values(consume(log)) == [b"a"]
    assert put_as(log, 7, b"b", sequence=1).base_offset == 1  # room was made, the client retried
    assert values(consume(reopen(disk, clean=False))) == [b"a", b"b"]


# -- idempotence -----------------------------------------------------------------------------------


def test_a_retry_gets_the_original_offset() -> None:
    log = make_log(MemoryDisk())
    first = put_as(log, 7, b"a", b"b", sequence=0)
    for n in range(4):
        put_as(log, 7, b"later", sequence=2 + n)
    again = put_as(log, 7, b"a", b"b", sequence=0)
    assert again.duplicate
    assert (again.base_offset, again.next_offset) == (first.base_offset, first.next_offset)
    assert log.log_end_offset == 6


def test_the_sixth_last_batch_is_forgotten() -> None:
    log = make_log(MemoryDisk())
    for n in range(6):
        put_as(log, 7, b"x", sequence=n)
    with pytest.raises(OutOfSequence):
        put_as(log, 7, b"x", sequence=0)
    assert put_as(log, 7, b"x", sequence=1).duplicate


def test_a_gap_is_refused() -> None:
    log = make_log(MemoryDisk())
    put_as(log, 7, b"a", sequence=0)
    with pytest.raises(OutOfSequence, match="sent sequence 2, expected 1"):
        put_as(log, 7, b"c", sequence=2)


def test_a_producer_that_is_not_known_may_go_on() -> None:
    log = make_log(MemoryDisk())
    assert put_as(log, 7, b"x", sequence=41).base_offset == 0
    assert put_as(log, 7, b"x", sequence=42).base_offset == 1


def test_an_older_producer_is_fenced_and_a_new_epoch_begins_at_zero() -> None:
    log = make_log(MemoryDisk())
    put_as(log, 7, b"a", sequence=0, epoch=1)
    with pytest.raises(Fenced):
        put_as(log, 7, b"b", sequence=1, epoch=0)
    with pytest.raises(OutOfSequence):
        put_as(log, 7, b"b", sequence=1, epoch=2)
    put_as(log, 7, b"b", sequence=0, epoch=2)
    assert values(consume(log)) == [b"a", b"b"]


def test_sequences_go_on_after_the_largest() -> None:
    log = make_log(MemoryDisk())
    put_as(log, 7, b"a", b"b", sequence=2**31 - 2)
    with pytest.raises(OutOfSequence):
        put_as(log, 7, b"c", sequence=1)
    put_as(log, 7, b"c", sequence=0)
    assert put_as(log, 7, b"a", b"b", sequence=2**31 - 2).duplicate


# -- transactions ----------------------------------------------------------------------------------


def test_committed_readers_wait_for_the_marker() -> None:
    log = make_log(MemoryDisk())
    put(log, b"before")
    put_as(log, 7, b"paid", transactional=True)
    put(log, b"after")
    assert log.last_stable_offset == 1
    assert values(consume(log, COMMITTED)) == [b"before"]
    assert values(consume(log, UNCOMMITTED)) == [b"before", b"paid", b"after"]
    end(log, 7, commit=True)
    assert log.last_stable_offset == log.log_end_offset == 4
    assert values(consume(log, COMMITTED)) == [b"before", b"paid", b"after"]


def test_aborted_records_are_told_to_committed_readers() -> None:
    log = make_log(MemoryDisk())
    put_as(log, 7, b"a1", transactional=True, sequence=0)
    put_as(log, 8, b"b1", transactional=True, sequence=0)
    end(log, 7, commit=False)
    put_as(log, 7, b"a2", transactional=True, sequence=1)
    end(log, 8, commit=True)
    end(log, 7, commit=True)
    assert values(consume(log, COMMITTED)) == [b"b1", b"a2"]
    (aborted,) = log.read(0, 10_000, COMMITTED).aborted
    assert (aborted.producer_id, aborted.first_offset, aborted.last_offset) == (7, 0, 2)
    assert log.read(3, 10_000, COMMITTED).aborted == []
    assert log.read(0, 10_000, UNCOMMITTED).aborted == []


def test_a_batch_outside_the_open_transaction_is_refused() -> None:
    log = make_log(MemoryDisk())
    put_as(log, 7, b"a", transactional=True, sequence=0)
    with pytest.raises(InvalidTransactionState, match="outside the transaction"):
        put_as(log, 7, b"b", transactional=False, sequence=1)


def test_markers_of_replaced_coordinators_and_producers_are_refused() -> None:
    log = make_log(MemoryDisk())
    put_as(log, 7, b"a", transactional=True, epoch=3)

    def mark(producer_epoch: int, coordinator_epoch: int) -> None:
        log.append_marker(
            producer_id=7,
            producer_epoch=producer_epoch,
            commit=False,
            coordinator_epoch=coordinator_epoch,
            leader_epoch=0,
            now=0,
        )

    with pytest.raises(Fenced, match="epoch 2"):
        mark(2, 0)
    mark(4, 5)  # a time-out aborts with a newer epoch
    with pytest.raises(Fenced, match="coordinator epoch 4"):
        mark(4, 4)
    with pytest.raises(Fenced):
        put_as(log, 7, b"zombie", transactional=True, epoch=3, sequence=1)


# -- durability ------------------------------------------------------------------------------------


def test_durable_readers_see_what_is_synced() -> None:
    log = make_log(MemoryDisk())
    log.durable_reads = True
    put(log, b"a")
    assert log.high_watermark == 0
    assert consume(log) == []
    assert log.needs_sync
    flush(log)
    assert log.high_watermark == 1
    assert log.files_to_sync() == []
    assert values(consume(log)) == [b"a"]


def test_a_sync_covers_what_was_appended_before_it_began() -> None:
    log = make_log(MemoryDisk())
    log.durable_reads = True
    put(log, b"a")
    log_end, files = log.log_end_offset, log.files_to_sync()
    for file in files:
        file.sync()
    put(log, b"b")  # while the sync was under way
    log.mark_flushed(log_end)
    assert log.high_watermark == 1
    assert log.needs_sync


def test_all_segments_since_the_last_sync_are_to_be_synced() -> None:
    log = make_log(MemoryDisk(), segment_bytes="100")
    put(log, b"0")
    flush(log)
    for n in range(1, 4):
        put(log, b"%d" % n)
    expected = [f"{DIRECTORY}/{offset:020d}.log" for offset in (1, 2, 3)]
    assert [file.path for file in log.files_to_sync()] == expected


def test_a_marker_right_at_the_synced_end_is_visible_at_once() -> None:
    log = make_log(MemoryDisk())
    log.durable_reads = True
    put_as(log, 7, b"a", transactional=True)
    put_as(log, 8, b"b", transactional=True)
    flush(log)
    end(log, 7, commit=True)
    end(log, 8, commit=False)
    assert (log.high_watermark, log.flushed_offset) == (4, 2)
    assert values(consume(log, COMMITTED)) == [b"a"]
    put(log, b"c")
    end(log, 9, commit=True)
    assert log.high_watermark == 4
    flush(log)
    assert log.high_watermark == 6


def test_a_transaction_is_undecided_while_its_marker_may_be_lost() -> None:
    log = make_log(MemoryDisk())
    log.durable_reads = True
    put_as(log, 7, b"a", transactional=True)
    flush(log)
    put(log, b"b")
    end(log, 7, commit=False)
    assert (log.last_stable_offset, log.high_watermark) == (0, 1)
    assert consume(log, COMMITTED) == []
    flush(log)
    assert log.last_stable_offset == 3
    assert values(consume(log, COMMITTED)) == [b"b"]


# -- times and epochs ------------------------------------------------------------------------------


def test_a_time_is_found_in_its_record() -> None:
    log = make_log(MemoryDisk(), segment_bytes="300")
    for start in range(0, 100, 4):
        batch = encode_batch([(b"k", b"v", 1000 + start + n, ()) for n in range(4)])
        log.append(batch, leader_epoch=0, now=0)
    assert log.offset_for_time(0) == 0
    assert log.offset_for_time(1042) == 42
    assert log.offset_for_time(1099) == 99
    assert log.offset_for_time(1100) is None
    log.delete_before(50)
    assert log.offset_for_time(1042) == 50


def test_epochs_tell_where_their_records_end() -> None:
    log = make_log(MemoryDisk(), 3)
    put(log, b"a")
    log.begin_epoch(5)
    put(log, b"b")
    put(log, b"c")
    log.begin_epoch(9)
    assert [log.epoch_end_offset(epoch) for epoch in (2, 3, 4, 5, 8, 9, 10)] == [
        -1,
        1,
        1,
        3,
        3,
        3,
        3,
    ]
    assert log.leader_epoch == 9
    with pytest.raises(Fenced):
        log.append(encode_batch([(b"k", b"v", 0, ())]), leader_epoch=5, now=0)


def test_batches_carry_the_epoch_that_wrote_them() -> None:
    log = make_log(MemoryDisk(), 3)
    put(log, b"a")
    log.begin_epoch(4)
    put(log, b"b")
    headers = [header for header, _batch in batches_in(log.read(0, 1000, UNCOMMITTED).data)]
    assert [header.leader_epoch for header in headers] == [3, 4]


# -- cutting ---------------------------------------------------------------------------------------


def test_deleted_records_are_gone_for_readers_at_once() -> None:
    disk = MemoryDisk()
    log = make_log(disk, segment_bytes="100")
    for n in range(4):
        put(log, b"%d" % n)
    log.delete_before(2)
    assert log.log_start_offset == 2
    assert values(consume(log)) == [b"2", b"3"]
    assert f"{0:020d}.log" not in disk.list(DIRECTORY)
    with pytest.raises(OffsetOutOfRange):
        log.read(1, 100, UNCOMMITTED)
    with pytest.raises(OffsetOutOfRange):
        log.delete_before(5)
    assert values(consume(reopen(disk, clean=False))) == [b"2", b"3"]


def test_a_start_in_the_middle_of_a_batch_survives() -> None:
    disk = MemoryDisk()
    log = make_log(disk)
    put(log, b"a", b"b", b"c")
    log.delete_before(1)
    log.close(0)
    log = reopen(disk, clean=True)
    assert log.log_start_offset == 1
    assert values(consume(log)) == [b"b", b"c"]


def test_truncation_takes_back_producers_and_transactions() -> None:
    log = make_log(MemoryDisk())
    put_as(log, 7, b"a", sequence=0, transactional=True)
    put_as(log, 8, b"x", sequence=0)
    end(log, 7, commit=False)
    put_as(log, 8, b"y", sequence=1)
    log.truncate_to(2)
    assert log.log_end_offset == 2
    assert log.last_stable_offset == 0
    assert put_as(log, 8, b"z", sequence=1).base_offset == 2
    end(log, 7, commit=True)
    assert values(consume(log, COMMITTED)) == [b"a", b"x", b"z"]


def test_truncation_takes_the_whole_batch() -> None:
    log = make_log(MemoryDisk())
    put(log, b"a")
    put(log, b"b", b"c")
    log.truncate_to(2)
    assert log.log_end_offset == 1


def test_a_directory_says_to_which_topic_it_belongs() -> None:
    disk = MemoryDisk()
    make_log(disk).close(0)
    assert disk.read(f"{DIRECTORY}/partition.metadata") == (
        b"version: 0\ntopic_id: ASNFZ4mrze8BI0VniavN7w\n"
    )
    assert reopen(disk, clean=True).topic_id == TOPIC_ID


def test_trusted_batches_are_stamped_alike() -> None:
    log = make_log(MemoryDisk())
    log.append(encode_batch([(b"k", b"v", 0, ())]), leader_epoch=0, now=0, trusted=True)
    ((_header, batch),) = batches_in(log.read(0, 1000, UNCOMMITTED).data, check_crc=True)
    assert decode_batch(batch)[0].value == b"v"
