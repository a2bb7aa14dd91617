"""Record batches, version 2: records to bytes and back, and the markers that end transactions.

Two functions, `encode_batch` and `decode_batch`, over aiokafka's Cython codec: millions of records a
second each way. Compression is done here and not there, so that levels are ours, and the extension
sees plain records only. Where it isn't built, `records_plain` does the same work in Python.

What the log needs of a batch without looking into it is in `batch.py`, and offered here as well.

Source: KIP-98, https://kafka.apache.org/documentation/#recordbatch
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple, cast

from . import records_plain
from .batch import (
    CODEC_MASK,
    CODEC_MAX,
    CONTROL,
    CRC_START,
    HEADER_SIZE,
    TRANSACTIONAL,
    BatchHeader,
    Buffer,
    batches_in,
    check_batch,
    crc_of,
    read_header,
    stamp,
    stamp_append_time,
    stamp_crc,
    write_header,
)
from .compression import compress, decompress
from .errors import InvalidRecord, RecordTooLarge
from .extension import postpone_client
from .model import Compression, Headers, NewRecord, Record, Timestamp

postpone_client()
try:
    from aiokafka.errors import CorruptRecordException
    from aiokafka.record._crecords.default_records import (
        DefaultRecordBatch,
        DefaultRecordBatchBuilder,
    )
except ImportError:  # pragma: no cover - a platform without the extension
    EXTENSION = False
else:
    EXTENSION = True
"""Whether the fast codec is there."""

__all__ = [
    "BatchHeader",
    "Marker",
    "batches_in",
    "check_batch",
    "crc_of",
    "decode_batch",
    "decode_marker",
    "encode_batch",
    "encode_marker",
    "read_header",
    "stamp",
    "stamp_append_time",
    "stamp_crc",
]

PlainTuple = tuple[bytes | None, bytes | None, Timestamp, Headers]

_INT32_MAX: Final = 2**31 - 1
_ATTRIBUTES: Final = struct.Struct(">h")
_MARKER_KEY: Final = struct.Struct(">hh")
_MARKER_VALUE: Final = struct.Struct(">hi")
_ABORT: Final = 0
_COMMIT: Final = 1

# The extension takes a first timestamp of -1 for "none yet", and so would lose it.
_NO_TIMESTAMP: Final = -1


class Marker(NamedTuple):
    """What a control batch says: how a producer's transaction ended."""

    commit: bool
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int


def encode_batch(
    records: Sequence[NewRecord] | Sequence[PlainTuple],
    *,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    transactional: bool = False,
    compression: Compression = Compression.NONE,
) -> bytearray:
    """Make a batch of new records, with base offset 0 until the log stamps it.

    Each record is a `NewRecord` or a plain tuple (key, value, timestamp, headers); the two cost the
    same here, and the tuple is cheaper to make.

    Raises:
        ValueError: no records.
        TypeError: a key or value that is not bytes-like or None, or a header name that is no str.
        OverflowError: a timestamp beyond 64 bits.
        RecordTooLarge: more than 2 GiB.
    """
    if not EXTENSION or not records or records[0][2] == _NO_TIMESTAMP:
        return records_plain.encode_batch(
            cast("Sequence[NewRecord]", records),
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            base_sequence=base_sequence,
            transactional=transactional,
            compression=compression,
        )
    builder = DefaultRecordBatchBuilder(
        2, 0, transactional, producer_id, producer_epoch, base_sequence, _INT32_MAX
    )
    append = builder.append
    previous: Headers = ()
    listed: list[tuple[str, bytes | None]] = []
    for delta, (key, value, timestamp, headers) in enumerate(records):
        if headers is not previous:  # those of a changelog are the same in each record
            previous, listed = headers, list(headers)
        append(delta, timestamp, key, value, listed)
    batch = cast("bytearray", builder.build())
    if read_header(batch).record_count != len(records):  # `append` leaves out what does not fit
        raise RecordTooLarge(f"{len(records)} records take more than {_INT32_MAX} bytes")
    return _compressed(batch, compression) if compression else batch


def decode_batch(batch: Buffer) -> Sequence[Record]:
    """Read the records of one batch, which must be whole. The CRC is not checked here.

    Offsets and timestamps are absolute. Works for what compaction left of a batch, and for control
    batches.

    Raises:
        InvalidRecord: the bytes are no such batch.
    """
    if not EXTENSION:
        return records_plain.decode_batch(batch)
    with _naming(batch):
        return list(_reader_of(batch))


def iterate_batch(batch: Buffer) -> Iterator[Record]:
    """Read the records of one batch one by one; else as `decode_batch`, which is quicker for all.

    Raises:
        InvalidRecord: the bytes are no such batch, which may show only after some records.
    """
    if not EXTENSION:
        yield from records_plain.decode_batch(batch)
        return
    with _naming(batch):
        yield from _reader_of(batch)


def encode_marker(
    *,
    commit: bool,
    producer_id: int,
    producer_epoch: int,
    coordinator_epoch: int,
    timestamp: Timestamp,
) -> bytearray:
    """Make the control batch that ends a producer's transaction in one partition (KIP-98)."""
    batch = bytearray(HEADER_SIZE)
    batch += records_plain.encode_records(
        [
            (
                0,
                _MARKER_KEY.pack(0, _COMMIT if commit else _ABORT),
                _MARKER_VALUE.pack(0, coordinator_epoch),
                timestamp,
                (),
            )
        ],
        timestamp,
    )
    write_header(
        batch,
        attributes=CONTROL | TRANSACTIONAL,
        last_offset_delta=0,
        base_timestamp=timestamp,
        max_timestamp=timestamp,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        record_count=1,
    )
    return batch


def decode_marker(batch: Buffer) -> Marker | None:
    """Read a control batch; None when it is of a kind that readers are to skip.

    Raises:
        InvalidRecord: the bytes are no control batch.
    """
    header = read_header(batch)
    if not header.is_control:
        raise InvalidRecord(f"batch at offset {header.base_offset} is no control batch")
    records = records_plain.decode_batch(batch)
    if not records:  # compaction emptied it
        return None
    key, value = records[0].key, records[0].value
    if key is None or value is None or len(key) < _MARKER_KEY.size:
        raise InvalidRecord(f"control batch at offset {header.base_offset} has no type")
    _version, kind = _MARKER_KEY.unpack_from(key)
    if kind not in {_ABORT, _COMMIT}:
        return None
    if len(value) < _MARKER_VALUE.size:
        raise InvalidRecord(f"marker at offset {header.base_offset} has no coordinator epoch")
    _version, coordinator_epoch = _MARKER_VALUE.unpack_from(value)
    return Marker(kind == _COMMIT, header.producer_id, header.producer_epoch, coordinator_epoch)


def _reader_of(batch: Buffer) -> Iterable[Record]:
    if len(batch) < HEADER_SIZE:
        raise InvalidRecord(f"a batch takes at least {HEADER_SIZE} bytes, not {len(batch)}")
    if batch[CRC_START + 1] & CODEC_MASK:
        batch = _decompressed(batch)
    return cast("Iterable[Record]", DefaultRecordBatch(batch))


@contextmanager
def _naming(batch: Buffer) -> Iterator[None]:
    """Turn an error of the extension into one that says where."""
    try:
        yield
    except (CorruptRecordException, UnicodeDecodeError, OverflowError, MemoryError) as error:
        raise InvalidRecord(f"batch at offset {read_header(batch).base_offset}: {error}") from error


def recompress(batch: Buffer, codec: Compression) -> bytearray:
    """Return a batch whose records are compressed with another codec, and are otherwise the same.

    Raises:
        InvalidRecord: they are not compressed as the batch says.
    """
    return _compressed(_decompressed(batch), codec)


def _compressed(batch: Buffer, codec: Compression) -> bytearray:
    with memoryview(batch) as view:
        result = bytearray(view[:HEADER_SIZE])
        result += compress(codec, view[HEADER_SIZE:])
    _ATTRIBUTES.pack_into(result, CRC_START, read_header(batch).attributes | codec)
    stamp(result, 0, -1)
    stamp_crc(result)
    return result


def _decompressed(batch: Buffer) -> bytes:
    view = memoryview(batch)
    codec = view[CRC_START + 1] & CODEC_MASK
    if codec > CODEC_MAX:
        raise InvalidRecord(f"there is no compression codec {codec}")
    result = bytearray(view[:HEADER_SIZE])
    result[CRC_START + 1] &= ~CODEC_MASK & 0xFF
    return bytes(result) + decompress(Compression(codec), view[HEADER_SIZE:])
