"""Lists of records become batches that are neither too large nor too many."""

from collections.abc import Mapping

import pytest
from millpond.log.broker.batching import BATCH_BYTES, SEQUENCE_END, encode_batches
from millpond.log.config import TopicConfig
from millpond.log.errors import RecordTooLarge
from millpond.log.model import Compression, NewRecord, TopicPartition
from millpond.log.records import decode_batch, read_header

ORDERS = TopicPartition("orders", 0)


def encode(
    records: list[NewRecord],
    *,
    base_sequence: int = 0,
    compression: Compression = Compression.NONE,
    config: Mapping[str, str] | None = None,
) -> list[bytearray]:
    return encode_batches(
        records,
        ORDERS,
        TopicConfig.parse(config or {}, topic="orders"),
        producer_id=7,
        producer_epoch=2,
        base_sequence=base_sequence,
        transactional=True,
        compression=compression,
    )


def some(count: int, size: int) -> list[NewRecord]:
    return [NewRecord(b"%d" % i, b"x" * size, 1000 + i) for i in range(count)]


def values(batches: list[bytearray]) -> list[bytes | None]:
    return [record.key for batch in batches for record in decode_batch(batch)]


def test_few_records_are_one_batch() -> None:
    [batch] = encode(some(100, 100))
    header = read_header(batch)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (7, 2, 0)
    assert header.is_transactional
    assert header.record_count == 100


@pytest.mark.parametrize(("count", "size"), [(20_000, 100), (600, 5_000), (5, 400_000)])
def test_many_records_are_several_batches_in_order(count: int, size: int) -> None:
    records = some(count, size)
    batches = encode(records)
    assert values(batches) == [record.key for record in records]
    assert all(len(batch) <= BATCH_BYTES for batch in batches)
    assert len(batches) <= count * (size + 50) / BATCH_BYTES * 1.3 + 2
    sequence = 0
    for batch in batches:
        header = read_header(batch)
        assert header.base_sequence == sequence
        sequence += header.record_count


def test_records_of_very_different_sizes_still_fit() -> None:
    records = some(3000, 10) + some(40, 100_000) + some(3000, 10)
    batches = encode(records)
    assert values(batches) == [record.key for record in records]
    assert all(len(batch) <= BATCH_BYTES for batch in batches)


def test_sequence_numbers_wrap() -> None:
    batches = encode(some(5, 400_000), base_sequence=SEQUENCE_END - 2)
    assert [read_header(batch).base_sequence for batch in batches] == [
        SEQUENCE_END - 2,
        SEQUENCE_END - 1,
        0,
        1,
        2,
    ]


def test_what_the_topic_takes_is_the_limit() -> None:
    batches = encode(some(100, 100), config={"max.message.bytes": "1000"})
    assert len(batches) > 10
    assert all(len(batch) <= 1000 for batch in batches)
    encode(some(1, 900), config={"max.message.bytes": "1000"})
    for setting in ("max.message.bytes", "segment.bytes"):
        with pytest.raises(RecordTooLarge, match="orders-0"):
            encode([*some(3, 10), *some(1, 1000)], config={setting: "1000"})


def test_a_record_between_the_aim_and_the_limit_is_a_batch_of_its_own() -> None:
    batches = encode(some(3, 900_000))
    assert [read_header(batch).record_count for batch in batches] == [1, 1, 1]


def test_compressed_size_is_what_counts() -> None:
    [batch] = encode(some(900, 10_000), compression=Compression.ZSTD)
    assert read_header(batch).compression is Compression.ZSTD


def test_the_topic_may_insist_on_a_codec() -> None:
    [lz4] = encode(some(3, 100), config={"compression.type": "lz4"})
    assert read_header(lz4).compression is Compression.LZ4
    [plain] = encode(
        some(3, 100), compression=Compression.ZSTD, config={"compression.type": "uncompressed"}
    )
    assert read_header(plain).compression is Compression.NONE
