"""Cuts a list of records into batches: large enough to be cheap, small enough to be taken.

The size of a batch is known only once it is encoded, and measuring records one by one would cost
more than the encoding. So all are encoded as one batch, and only when that comes out too large they
are divided, by count, and encoded again.
"""

from collections.abc import Sequence
from typing import Final

from ..config import TopicConfig
from ..errors import RecordTooLarge
from ..model import Compression, NewRecord, TopicPartition
from ..records import encode_batch

BATCH_BYTES: Final = 512 * 1024
"""What is aimed at: a reader that asks for little gets at least one batch, and waits for all of it."""

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
    batches = []
    pending = [records]
    while pending:
        some = pending.pop()
        batch = encode_batch(
            some,
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            base_sequence=base_sequence,
            transactional=transactional,
            compression=compression,
        )
        if len(batch) <= target or (len(some) == 1 and len(batch) <= limit):
            batches.append(batch)
            base_sequence = (base_sequence + len(some)) % SEQUENCE_END
        elif len(some) == 1:
            raise RecordTooLarge(
                f"{partition}: a record takes {len(batch)} bytes, but max.message.bytes is "
                f"{config.max_message_bytes} and segment.bytes {config.segment_bytes}"
            )
        else:
            count = -(-len(some) * target // len(batch))
            count = max(1, min(count * 9 // 10, len(some) - 1))
            pending += [some[at : at + count] for at in range(0, len(some), count)][::-1]
    return batches
