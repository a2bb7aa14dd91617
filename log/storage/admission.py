"""What a batch must be so that a partition takes it, and what its topic makes of it.

A batch of a client is checked as far as its head goes: form, CRC, size, timestamps, and that it is
nothing only a broker may write. Its records stay unseen, as everywhere in storage, but for two kinds
of topics. Where compaction is to come, every record must have a key, for one without would be
accepted today and be gone tomorrow, and its proper offset, by which it outdates others. And where the topic has a compression of its own (`compression.type`),
the records as a whole are unpacked and packed again.

Kafka looks at every record that it takes, and so refuses two things that are taken here: a timestamp
out of bounds that is neither the first nor the largest of its batch, and records that do not match
their head (whoever reads them says so).

Source: KIP-937 (bounds of timestamps).
"""

from typing import Final

from ..batch import (
    APPEND_TIME,
    CODEC_MASK,
    CONTROL,
    DELETE_HORIZON,
    BatchHeader,
    WritableBuffer,
    check_batch,
    read_header,
    stamp_append_time,
    stamp_create_time,
)
from ..config import TopicConfig
from ..errors import InvalidRecord, InvalidTimestamp, RecordTooLarge, SegmentTooSmall
from ..model import Compression, Timestamp, TopicPartition
from ..records import iterate_batch, recompress
from .segment import NO_TIMESTAMP

_CODECS: Final = {
    "uncompressed": Compression.NONE,
    "gzip": Compression.GZIP,
    "snappy": Compression.SNAPPY,
    "lz4": Compression.LZ4,
    "zstd": Compression.ZSTD,
}
"""Without `producer`: there the batch stays as it came."""


def admit(
    batch: WritableBuffer,
    partition: TopicPartition,
    config: TopicConfig,
    now: Timestamp,
    *,
    trusted: bool,
) -> tuple[WritableBuffer, BatchHeader]:
    """Return the batch as it is to be appended, and its head. May change the one that came.

    `trusted` leaves out the checks of form, for batches made in this process.

    Raises:
        InvalidRecord: it is malformed, or none that a producer may send. Its kinds say more.
        RecordTooLarge: above `max.message.bytes` or `segment.bytes`.
    """
    check_size(batch, partition, config)
    if trusted:
        header = read_header(batch)
    else:
        header = check_batch(batch)
        _check_client(header, partition)
        if config.timestamp_type == "CreateTime":
            _check_timestamps(header, partition, config, now)
        if config.cleanup_compact:
            _check_keyed(batch, partition)
        codec = _CODECS.get(config.compression_type)
        if codec is not None and header.attributes & CODEC_MASK != codec:
            batch = recompress(batch, codec)
            header = read_header(batch)
            check_size(batch, partition, config)
    if config.timestamp_type == "LogAppendTime":
        stamp_append_time(batch, now)
        header = read_header(batch)
    elif header.attributes & APPEND_TIME:
        stamp_create_time(batch)
        header = read_header(batch)
    return batch, header


def check_size(batch: WritableBuffer, partition: TopicPartition, config: TopicConfig) -> None:
    """Raise RecordTooLarge for more than the topic takes."""
    size = len(batch)
    if size > config.max_message_bytes:
        raise RecordTooLarge(
            f"{partition}: a batch of {size} bytes, but max.message.bytes is "
            f"{config.max_message_bytes}"
        )
    if size > config.segment_bytes:
        raise SegmentTooSmall(
            f"{partition}: a batch of {size} bytes, but segment.bytes is {config.segment_bytes}"
        )


def _check_client(header: BatchHeader, partition: TopicPartition) -> None:
    if header.attributes & (CONTROL | DELETE_HORIZON):
        raise InvalidRecord(
            f"{partition}: producers may not send control batches or delete horizons"
        )
    if header.base_offset:
        raise InvalidRecord(f"{partition}: a new batch has base offset 0, not {header.base_offset}")


def _check_keyed(batch: WritableBuffer, partition: TopicPartition) -> None:
    for number, record in enumerate(iterate_batch(batch)):
        if record.offset != number:
            raise InvalidRecord(
                f"{partition}: record {number} of the batch says that it is {record.offset}"
            )
        if record.key is None:
            raise InvalidRecord(
                f"{partition}: record {number} of the batch has no key, which a compacted topic needs"
            )


def _check_timestamps(
    header: BatchHeader, partition: TopicPartition, config: TopicConfig, now: Timestamp
) -> None:
    latest = header.max_timestamp
    if latest != NO_TIMESTAMP and latest - now > config.timestamp_after_max_ms:
        raise InvalidTimestamp(
            f"{partition}: timestamp {latest} is {latest - now} ms ahead of the broker's clock, "
            f"but message.timestamp.after.max.ms is {config.timestamp_after_max_ms}"
        )
    first = header.base_timestamp
    if first != NO_TIMESTAMP and now - first > config.timestamp_before_max_ms:
        raise InvalidTimestamp(
            f"{partition}: timestamp {first} is {now - first} ms behind the broker's clock, "
            f"but message.timestamp.before.max.ms is {config.timestamp_before_max_ms}"
        )
