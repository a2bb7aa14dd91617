"""Group offsets as the replay of records."""

import struct

import pytest
from millpond.log.coordinator.encoding import coordinator_partition
from millpond.log.coordinator.offset_records import (
    decode_entry,
    decode_key,
    encode_commit,
    encode_removal,
)
from millpond.log.coordinator.offsets import GroupOffsets, OffsetEntry, OffsetKey, check_metadata
from millpond.log.errors import LogError, RecordTooLarge
from millpond.log.model import CommittedOffset, TopicPartition

ORDERS = TopicPartition("orders", 0)
KEY = OffsetKey("readers", ORDERS)


def entry(log_offset: int, offset: int) -> OffsetEntry:
    return OffsetEntry(log_offset, CommittedOffset(offset), committed_at=1000)


def test_of_two_transactions_the_record_later_in_the_log_wins_whichever_ended_last() -> None:
    offsets = GroupOffsets()
    offsets.pend(7, KEY, entry(10, 100))
    offsets.pend(8, KEY, entry(11, 200))
    offsets.end_transaction(8, commit=True)
    offsets.end_transaction(7, commit=True)
    assert offsets.committed("readers") == {ORDERS: CommittedOffset(200)}


def test_a_partition_is_pending_as_long_as_any_transaction_with_an_offset_of_it_is_open() -> None:
    offsets = GroupOffsets()
    offsets.pend(7, KEY, entry(10, 100))
    offsets.pend(7, KEY, entry(11, 101))
    offsets.pend(8, KEY, entry(12, 200))
    assert ORDERS in offsets.pending("readers")
    offsets.end_transaction(7, commit=True)
    assert ORDERS in offsets.pending("readers")
    offsets.end_transaction(8, commit=False)
    assert not offsets.pending("readers")
    assert offsets.committed("readers") == {ORDERS: CommittedOffset(101)}
    assert not offsets.has("strangers")


def test_offsets_of_a_transaction_count_from_its_marker_on() -> None:
    offsets = GroupOffsets()
    offsets.apply(KEY, entry(1, 5))
    offsets.pend(7, KEY, entry(2, 9))
    assert offsets.committed("readers") == {ORDERS: CommittedOffset(5)}
    offsets.end_transaction(8, commit=True)
    assert offsets.committed("readers") == {ORDERS: CommittedOffset(5)}, "another producer's marker"
    offsets.end_transaction(7, commit=True)
    assert offsets.committed("readers") == {ORDERS: CommittedOffset(9)}


def test_offsets_of_an_aborted_transaction_never_count() -> None:
    offsets = GroupOffsets()
    offsets.pend(7, KEY, entry(2, 9))
    offsets.end_transaction(7, commit=False)
    offsets.end_transaction(7, commit=True)
    assert offsets.committed("readers") == {}
    assert offsets.groups() == []


def test_a_commit_made_during_the_transaction_is_not_undone_by_its_marker() -> None:
    offsets = GroupOffsets()
    offsets.pend(7, KEY, entry(2, 9))
    offsets.apply(KEY, entry(3, 12))
    offsets.end_transaction(7, commit=True)
    assert offsets.committed("readers") == {ORDERS: CommittedOffset(12)}


def test_a_removal_takes_back_settled_and_pending_offsets() -> None:
    offsets = GroupOffsets()
    offsets.apply(KEY, entry(1, 5))
    offsets.pend(7, KEY, entry(2, 9))
    assert offsets.of_topic("orders") == [KEY]
    offsets.remove(KEY)
    offsets.end_transaction(7, commit=True)
    assert offsets.committed("readers") == {}
    assert offsets.groups() == []
    assert offsets.of_topic("orders") == []


def test_only_what_is_asked_for_is_returned() -> None:
    offsets = GroupOffsets()
    other = TopicPartition("orders", 1)
    offsets.apply(KEY, entry(1, 5))
    offsets.apply(OffsetKey("readers", other), entry(2, 6))
    assert offsets.committed("readers", [other, TopicPartition("nothing", 0)]) == {
        other: CommittedOffset(6)
    }


def test_records_are_those_of_kafka() -> None:
    record = encode_commit(KEY, CommittedOffset(258, 3, "é"), now=1000)
    assert record.key == b"\x00\x01" + b"\x00\x07readers" + b"\x00\x06orders" + b"\x00\x00\x00\x00"
    assert record.value == (
        b"\x00\x03"
        b"\x00\x00\x00\x00\x00\x00\x01\x02"
        b"\x00\x00\x00\x03"
        b"\x00\x02\xc3\xa9"
        b"\x00\x00\x00\x00\x00\x00\x03\xe8"
    )
    assert encode_removal(KEY, now=1000) == (record.key, None, 1000, ())


def test_what_is_written_can_be_read() -> None:
    committed = CommittedOffset(2**40, 12, "größe")
    record = encode_commit(KEY, committed, now=1)
    assert record.key is not None
    assert record.value is not None
    assert decode_key(record.key) == KEY
    assert decode_entry(record.value, 9) == OffsetEntry(9, committed, 1)


def test_an_offset_with_a_time_of_its_own_is_written_as_old_brokers_did() -> None:
    record = encode_commit(KEY, CommittedOffset(5, 7, "md"), now=1, expires_at=2)
    assert record.value == struct.pack(">hqh2sqq", 1, 5, 2, b"md", 1, 2)
    assert decode_entry(record.value, 9) == OffsetEntry(9, CommittedOffset(5, -1, "md"), 1, 2)


def test_other_versions_of_kafka_are_understood_and_newer_ones_refused() -> None:
    version_0 = struct.pack(">hqh2sq", 0, 77, 2, b"md", 5)
    assert decode_entry(version_0, 9) == OffsetEntry(9, CommittedOffset(77, -1, "md"), 5)
    topic_id = bytes(range(16))
    version_4 = struct.pack(">hqib2sqbbb", 4, 77, 3, 3, b"md", 5, 1, 0, 16) + topic_id
    assert decode_entry(version_4, 9) == OffsetEntry(9, CommittedOffset(77, 3, "md"), 5)
    with pytest.raises(LogError):
        decode_entry(b"\x00\x05" + bytes(30), 9)
    assert decode_key(b"\x00\x02\x00\x07readers") is None, "a group's metadata"


def test_a_record_that_is_cut_short_is_named_as_such() -> None:
    record = encode_commit(KEY, CommittedOffset(1, 1, "metadata"), now=1)
    assert record.key is not None
    assert record.value is not None
    for size in range(len(record.key)):
        with pytest.raises(LogError):
            decode_key(record.key[:size])
    for size in range(len(record.value)):
        with pytest.raises(LogError):
            decode_entry(record.value[:size], 9)


def test_metadata_is_bounded_in_bytes_not_characters() -> None:
    check_metadata({ORDERS: CommittedOffset(1, metadata="é" * 2048)})
    with pytest.raises(RecordTooLarge):
        check_metadata({ORDERS: CommittedOffset(1, metadata="é" * 2049)})


def test_a_group_is_kept_where_kafka_would_keep_it() -> None:
    # Java: "polygenelubricants".hashCode() is -2**31, "hello".hashCode() is 99162322.
    assert coordinator_partition("polygenelubricants", 50) == 0
    assert coordinator_partition("hello", 50) == 22
    assert coordinator_partition("", 4) == 0
    assert coordinator_partition("größe 🦆", 1) == 0
