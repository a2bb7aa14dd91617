"""Group offsets as the replay of records."""

import struct

import pytest
from millpond.log.coordinator.encoding import coordinator_partition
from millpond.log.coordinator.offsets import (
    GroupOffsets,
    OffsetEntry,
    OffsetKey,
    check_metadata,
    decode_key,
    decode_value,
    encode_commit,
    encode_removal,
)
from millpond.log.errors import LogError, RecordTooLarge
from millpond.log.model import CommittedOffset, TopicPartition

ORDERS = TopicPartition("orders", 0)
KEY = OffsetKey("readers", ORDERS)


def entry(log_offset: int, offset: int) -> OffsetEntry:
    return OffsetEntry(log_offset, CommittedOffset(offset))


def test_the_record_later_in_the_log_wins_whenever_it_became_durable() -> None:
    offsets = GroupOffsets()
    offsets.apply(KEY, entry(11, 200))
    offsets.apply(KEY, entry(10, 100))
    assert offsets.committed("readers") == {ORDERS: CommittedOffset(200)}


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
    offsets.apply(KEY, OffsetEntry(3, None))
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
    assert decode_key(record.key) == KEY
    assert decode_value(record.value) == committed
    assert decode_value(None) is None


def test_older_versions_of_kafka_are_understood_and_newer_ones_refused() -> None:
    version_1 = struct.pack(">hqh2sqq", 1, 77, 2, b"md", 5, 6)
    assert decode_value(version_1) == CommittedOffset(77, -1, "md")
    with pytest.raises(LogError):
        decode_value(b"\x00\x04" + bytes(30))
    assert decode_key(b"\x00\x02\x00\x07readers") is None, "a group's metadata"


def test_a_record_that_is_cut_short_is_named_as_such() -> None:
    record = encode_commit(KEY, CommittedOffset(1, 1, "metadata"), now=1)
    assert record.key is not None
    assert record.value is not None
    for size in range(len(record.key)):
        with pytest.raises(LogError):
            decode_key(record.key[:size])
    for size in range(len(record.value) - 8):
        with pytest.raises(LogError):
            decode_value(record.value[:size])


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
