"""The fast codec and the plain one write the same bytes, and read the same from them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from millpond.log import records, records_plain
from millpond.log.batch import (
    CODEC_MASK,
    HEADER_SIZE,
    check_batch,
    read_header,
    stamp,
    stamp_append_time,
    write_header,
)
from millpond.log.compression import compress
from millpond.log.errors import InvalidRecord
from millpond.log.model import Compression

INT64 = st.integers(-(2**63), 2**63 - 1)
CONTENTS = st.one_of(st.none(), st.binary(max_size=100))
HEADERS = st.lists(st.tuples(st.text(max_size=10), CONTENTS), max_size=3)
TIMESTAMPS = st.one_of(INT64, st.integers(-2, 2), st.just(1_700_000_000_000))
RECORDS = st.lists(st.tuples(CONTENTS, CONTENTS, TIMESTAMPS, HEADERS), min_size=1, max_size=20)
CODECS = st.sampled_from(Compression)


def fields(read: object) -> list[tuple[object, ...]]:
    return [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in read]  # type: ignore[attr-defined]


def test_the_fast_codec_is_the_one_under_test() -> None:
    assert records.EXTENSION


@given(
    RECORDS,
    CODECS,
    st.booleans(),
    st.integers(-1, 2**63 - 1),
    st.integers(-1, 2**15 - 1),
    st.integers(-1, 2**31 - 1),
)
def test_both_write_the_same_bytes(
    new: list[tuple[bytes | None, bytes | None, int, list[tuple[str, bytes | None]]]],
    codec: Compression,
    transactional: bool,
    producer_id: int,
    producer_epoch: int,
    base_sequence: int,
) -> None:
    how = {
        "producer_id": producer_id,
        "producer_epoch": producer_epoch,
        "base_sequence": base_sequence,
        "transactional": transactional,
        "compression": codec,
    }
    fast = records.encode_batch(new, **how)  # type: ignore[arg-type]
    assert fast == records_plain.encode_batch(new, **how)  # type: ignore[arg-type]


@given(RECORDS, CODECS, st.integers(0, 2**62))
def test_what_was_written_is_read(
    new: list[tuple[bytes | None, bytes | None, int, list[tuple[str, bytes | None]]]],
    codec: Compression,
    base_offset: int,
) -> None:
    batch = records.encode_batch(new, compression=codec)
    stamp(batch, base_offset, 7)
    header = check_batch(batch)
    assert (header.base_offset, header.leader_epoch) == (base_offset, 7)
    assert (header.compression, header.record_count) == (codec, len(new))
    assert header.max_timestamp == max(record[2] for record in new)
    expected = [
        (base_offset + delta, timestamp, key, value, headers)
        for delta, (key, value, timestamp, headers) in enumerate(new)
    ]
    for buffer in (batch, bytes(batch), memoryview(batch)):
        assert fields(records.decode_batch(buffer)) == expected
        assert fields(records_plain.decode_batch(buffer)) == expected


@given(RECORDS, CODECS, INT64)
def test_append_time_replaces_the_timestamps(
    new: list[tuple[bytes | None, bytes | None, int, list[tuple[str, bytes | None]]]],
    codec: Compression,
    now: int,
) -> None:
    batch = records.encode_batch(new, compression=codec)
    stamp_append_time(batch, now)
    assert check_batch(batch).timestamp_type == "LogAppendTime"
    assert [r.timestamp for r in records.decode_batch(batch)] == [now] * len(new)
    assert fields(records_plain.decode_batch(batch)) == fields(records.decode_batch(batch))


@given(RECORDS, CODECS, INT64, st.data())
def test_both_read_what_compaction_leaves(
    new: list[tuple[bytes | None, bytes | None, int, list[tuple[str, bytes | None]]]],
    codec: Compression,
    base_timestamp: int,
    data: st.DataObject,
) -> None:
    kept = data.draw(st.sets(st.integers(0, len(new) - 1)))
    left = [(at, *new[at]) for at in sorted(kept)]
    batch = bytearray(HEADER_SIZE)
    batch += compress(codec, records_plain.encode_records(left, base_timestamp)) if left else b""
    write_header(
        batch,
        base_offset=1000,
        attributes=codec if left else 0,
        last_offset_delta=len(new) - 1,
        base_timestamp=base_timestamp,
        max_timestamp=max(record[2] for record in new),
        record_count=len(left),
    )
    expected = [
        (1000 + at, timestamp, key, value, headers) for at, key, value, timestamp, headers in left
    ]
    assert fields(records.decode_batch(batch)) == expected
    assert fields(records_plain.decode_batch(batch)) == expected
    assert read_header(batch).next_offset == 1000 + len(new)


@settings(max_examples=300)
@given(RECORDS, st.data())
def test_damaged_records_are_refused_by_both_or_read_alike(
    new: list[tuple[bytes | None, bytes | None, int, list[tuple[str, bytes | None]]]],
    data: st.DataObject,
) -> None:
    batch = records.encode_batch(new)
    at = data.draw(st.integers(HEADER_SIZE, len(batch) - 1))
    batch[at] = data.draw(st.integers(0, 255))
    try:
        plain = fields(records_plain.decode_batch(batch))
    except InvalidRecord:
        with pytest.raises(InvalidRecord):
            records.decode_batch(batch)
    else:
        assert fields(records.decode_batch(batch)) == plain


@given(CODECS, st.binary(max_size=50))
def test_garbage_is_no_compressed_block(codec: Compression, garbage: bytes) -> None:
    batch = records.encode_batch([(b"k", b"v", 0, ())])
    batch[HEADER_SIZE:] = garbage
    batch[22] = (batch[22] & ~CODEC_MASK) | codec
    stamp(batch, 0, 0)
    try:
        plain = fields(records_plain.decode_batch(batch))
    except InvalidRecord:
        with pytest.raises(InvalidRecord):
            records.decode_batch(batch)
    else:
        assert fields(records.decode_batch(batch)) == plain
