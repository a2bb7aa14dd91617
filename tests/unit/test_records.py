"""Record batches: what is accepted, what is stamped, and what a marker says."""

import itertools

import pytest
from millpond.log.batch import HEADER_SIZE, write_header
from millpond.log.errors import InvalidRecord
from millpond.log.model import Compression, NewRecord
from millpond.log.records import (
    Marker,
    batches_in,
    check_batch,
    decode_batch,
    decode_marker,
    encode_batch,
    encode_marker,
    read_header,
    stamp,
    stamp_append_time,
    stamp_crc,
)

# One record as Kafka's documentation lays it out: key "k", value "v", timestamp 1, no headers.
DOCUMENTED = bytes.fromhex(
    "0000000000000000"  # base offset
    "0000003a"  # length
    "ffffffff"  # partition leader epoch
    "02"  # magic
    "00000000"  # CRC, put in below
    "0000"  # attributes
    "00000000"  # last offset delta
    "0000000000000001"  # base timestamp
    "0000000000000001"  # max timestamp
    "ffffffffffffffff"  # producer id
    "ffff"  # producer epoch
    "ffffffff"  # base sequence
    "00000001"  # records
    "10000000026b027600"
)


def test_a_batch_is_laid_out_as_documented() -> None:
    documented = bytearray(DOCUMENTED)
    stamp_crc(documented)
    assert encode_batch([(b"k", b"v", 1, ())]) == documented


def test_named_and_plain_tuples_make_the_same_batch() -> None:
    named = [NewRecord(b"k", None, 5, [("h", b"x")]), NewRecord(None, b"v", 6)]
    assert encode_batch(named) == encode_batch([tuple(record) for record in named])  # type: ignore[misc]


def test_headers_may_be_any_sequence_and_any_number() -> None:
    many = tuple((f"h{n}", None if n % 2 else b"x") for n in range(300))
    (record,) = decode_batch(encode_batch([(None, None, 0, many)]))
    assert tuple(record.headers) == many


@pytest.mark.parametrize("codec", Compression)
def test_a_compressed_batch_is_smaller_and_complete(codec: Compression) -> None:
    records = [(b"key", b"value" * 20, 1000 + n, ()) for n in range(100)]
    batch = encode_batch(records, compression=codec)
    assert check_batch(batch).compression is codec
    assert [(r.key, r.value, r.timestamp) for r in decode_batch(batch)] == [r[:3] for r in records]
    if codec:
        assert len(batch) < len(encode_batch(records)) / 3


def test_stamping_leaves_the_crc_right() -> None:
    batch = encode_batch([(b"k", b"v", 1, ())])
    stamp(batch, 2**40, 7)
    header = check_batch(batch)
    assert (header.base_offset, header.next_offset, header.leader_epoch) == (2**40, 2**40 + 1, 7)


def test_stamping_append_time_renews_the_crc() -> None:
    batch = encode_batch([(b"k", b"v", 1, ()), (b"k", b"v", 2, ())], compression=Compression.ZSTD)
    stamp_append_time(batch, 99)
    assert check_batch(batch).max_timestamp == 99
    assert [record.timestamp for record in decode_batch(batch)] == [99, 99]


def test_sequences_wrap_from_the_largest_to_zero() -> None:
    batch = encode_batch(
        [(None, b"v", 0, ())] * 3, producer_id=1, producer_epoch=0, base_sequence=2**31 - 2
    )
    assert read_header(batch).last_sequence == 0


def test_no_records_make_no_batch() -> None:
    with pytest.raises(ValueError, match="at least one"):
        encode_batch([])


@pytest.mark.parametrize(
    "record",
    [
        ("text", b"v", 0, ()),
        (b"k", 5, 0, ()),
        (b"k", b"v", 0, [(b"not text", b"x")]),
    ],
)
def test_other_types_are_the_callers_mistake(record: tuple[object, ...]) -> None:
    with pytest.raises((TypeError, AttributeError)):
        encode_batch([record])  # type: ignore[list-item]


def test_every_flipped_bit_that_matters_is_found() -> None:
    good = encode_batch([(b"k", b"v", 1, ())])
    stamp(good, 5, 3)
    unprotected = {*range(8), *range(12, 16)}  # base offset and leader epoch: the log's own stamps
    for at, bit in itertools.product(range(len(good)), range(8)):
        if at not in unprotected:
            damaged = bytearray(good)
            damaged[at] ^= 1 << bit
            with pytest.raises(InvalidRecord):
                check_batch(damaged)


def test_every_shortened_batch_is_refused() -> None:
    good = encode_batch([(b"k", b"v", 1, ())])
    for size in range(len(good)):
        with pytest.raises(InvalidRecord):
            check_batch(good[:size])
    with pytest.raises(InvalidRecord, match="says"):
        check_batch(good + good)


def made_up(**fields: int) -> bytearray:
    batch = encode_batch([(b"k", b"v", 1, ())])
    known = {"last_offset_delta": 0, "base_timestamp": 1, "max_timestamp": 1, "record_count": 1}
    write_header(batch, **{**known, **fields})
    return batch


@pytest.mark.parametrize(
    "fields",
    [
        {"record_count": 0, "last_offset_delta": -1},
        {"record_count": 2},
        {"last_offset_delta": 5},
        {"attributes": 5},
        {"producer_id": 7},
        {"producer_id": 7, "producer_epoch": 0},
        {"attributes": 0x10},
    ],
)
def test_headers_that_contradict_themselves_are_refused(fields: dict[str, int]) -> None:
    check_batch(made_up())
    with pytest.raises(InvalidRecord):
        check_batch(made_up(**fields))


def test_batches_are_found_one_after_the_other() -> None:
    buffer = bytearray()
    for base in (10, 12):
        batch = encode_batch([(b"k", b"%d" % base, 1, ())] * 2)
        stamp(batch, base, 0)
        buffer += batch
    found = list(batches_in(buffer, check_crc=True))
    assert [header.base_offset for header, _batch in found] == [10, 12]
    assert [decode_batch(batch)[1].value for _header, batch in found] == [b"10", b"12"]


def test_an_incomplete_last_batch_is_left_out() -> None:
    batch = encode_batch([(b"k", b"v", 1, ())])
    for size in range(len(batch)):
        assert len(list(batches_in(bytes(batch) + batch[:size]))) == 1


def test_garbage_between_batches_is_not_skipped() -> None:
    batch = bytes(encode_batch([(b"k", b"v", 1, ())]))
    with pytest.raises(InvalidRecord, match="no batch at"):
        list(batches_in(batch + bytes(HEADER_SIZE)))
    damaged = batch[:-1] + b"\xff"
    with pytest.raises(InvalidRecord, match="CRC"):
        list(batches_in(batch + damaged, check_crc=True))
    assert len(list(batches_in(batch + damaged))) == 2


@pytest.mark.parametrize("commit", [True, False])
def test_a_marker_says_how_a_transaction_ended(commit: bool) -> None:
    batch = encode_marker(
        commit=commit, producer_id=9, producer_epoch=2, coordinator_epoch=4, timestamp=77
    )
    header = check_batch(batch)
    assert header.is_control
    assert header.is_transactional
    assert (header.record_count, header.max_timestamp) == (1, 77)
    assert decode_marker(batch) == Marker(commit, 9, 2, 4)


def test_data_is_no_marker() -> None:
    with pytest.raises(InvalidRecord, match="no control batch"):
        decode_marker(encode_batch([(b"k", b"v", 1, ())]))
