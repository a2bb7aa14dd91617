"""Cuts a list of records into batches: large enough to be cheap, small enough to be taken.

The size of a batch is known only once it is encoded, and measuring records one by one would cost
more than the encoding. So a batch that comes out too large is divided, by count, and encoded again;
of a long list, the first records are encoded as a sample, which tells how many go into a batch.
"""

from collections.abc import Sequence
from typing import Final

from ..config import TopicConfig
from ..errors import RecordTooLarge
from ..model import Compression, NewRecord, TopicPartition
from ..records import encode_batch

BATCH_BYTES: Final = 512 * 1024
"""What is aimed at: a reader that asks for little gets at least one batch, and waits for all of it."""

SAMPLE_RECORDS: Final = 1000

SEQUENCE_END: Final = 2**31
_COMPRESSION: Final = {
    "uncompressed": Compression.NONE,
    "gzip": Compression.GZIP,
    "snappy": Compression.SNAPPY,
    "lz4": Compression.LZ4,
    "zstd": Compression.ZSTD,
}


def encode_batches(
    records: Sequence[NewRecord],
    partition: TopicPartition,
    config: TopicConfig,
    *,
    producer_id: int,
    producer_epoch: int,
    base_sequence: int,
    transactional: bool,
    compression: Compression,
) -> list[bytearray]:
    """Encode records as one batch, or as several when they are many.

    Raises:
        RecordTooLarge: a single record is larger than the topic takes.
    """
    limit = min(config.max_message_bytes, config.segment_bytes)
    target = min(BATCH_BYTES, limit)
    compression = _COMPRESSION.get(config.compression_type, compression)

    def encode(some: Sequence[NewRecord]) -> bytearray:
        return encode_batch(
            some,
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            base_sequence=base_sequence,
            transactional=transactional,
            compression=compression,
        )

    batches = []
    pending = [records]
    if len(records) > 2 * SAMPLE_RECORDS:
        pending = _divided(records, len(encode(records[:SAMPLE_RECORDS])) / SAMPLE_RECORDS, target)
    while pending:
        some = pending.pop()
        batch = encode(some)
        if len(batch) <= target or (len(some) == 1 and len(batch) <= limit):
            batches.append(batch)
            base_sequence = (base_sequence + len(some)) % SEQUENCE_END
        elif len(some) == 1:
            raise RecordTooLarge(
                f"{partition}: a record takes {len(batch)} bytes, but max.message.bytes is "
                f"{config.max_message_bytes} and segment.bytes {config.segment_bytes}"
            )
        else:
            pending += _divided(some, len(batch) / len(some), target)
    return batches


def _divided(
    records: Sequence[NewRecord], record_bytes: float, target: int
) -> list[Sequence[NewRecord]]:
    """Divide records into lists that should fit, and at least in two; the first one comes last."""
    count = max(1, min(int(target / record_bytes * 0.9), len(records) - 1))
    return [records[at : at + count] for at in range(0, len(records), count)][::-1]
