"""Records of a batch in plain Python: the reference, and what runs where no extension is built.

`records.py` does the same some fifteen times faster over aiokafka's Cython. Both pass the same
property tests, which is how we know that either is right.

A record's fields are relative to its batch's base offset and base timestamp, and all numbers are
zigzag varints as in Protocol Buffers. Sums wrap at 64 bits, as they do in Java and in C.

Source: https://kafka.apache.org/documentation/#record
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from .batch import (
    HEADER_SIZE,
    TRANSACTIONAL,
    BatchHeader,
    Buffer,
    read_header,
    write_header,
)
from .compression import compress, decompress
from .errors import InvalidRecord
from .model import Compression, Headers, NewRecord, Offset, Timestamp

_INT64: Final = 1 << 64
_INT64_HALF: Final = 1 << 63


class PlainRecord(NamedTuple):
    """A record as it stands in the log (`model.Record`)."""

    offset: Offset
    timestamp: Timestamp
    key: bytes | None
    value: bytes | None
    headers: Headers


def encode_batch(
    records: Sequence[NewRecord],
    *,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    transactional: bool = False,
    compression: Compression = Compression.NONE,
) -> bytearray:
    """Make a batch of new records; see `records.encode_batch`."""
    if not records:
        raise ValueError("a batch needs at least one record")
    base_timestamp = records[0][2]
    batch = bytearray(HEADER_SIZE)
    batch += compress(
        compression,
        encode_records(((delta, *record) for delta, record in enumerate(records)), base_timestamp),
    )
    write_header(
        batch,
        attributes=compression | (TRANSACTIONAL if transactional else 0),
        last_offset_delta=len(records) - 1,
        base_timestamp=base_timestamp,
        max_timestamp=max(record[2] for record in records),
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=base_sequence,
        record_count=len(records),
    )
    return batch


def decode_batch(batch: Buffer) -> list[PlainRecord]:
    """Read the records of a batch; see `records.decode_batch`."""
    header = read_header(batch)
    if header.size != len(batch):
        raise InvalidRecord(f"batch says {header.size} bytes, but has {len(batch)}")
    data = decompress(_codec(header), memoryview(batch)[HEADER_SIZE:])
    records = []
    position = 0
    try:
        for _ in range(header.record_count):
            record, position = _decode_record(data, position, header)
            records.append(record)
    except (IndexError, UnicodeDecodeError) as error:
        raise InvalidRecord(
            f"record {len(records)} of the batch at offset {header.base_offset}: {error}"
        ) from error
    if position != len(data):
        raise InvalidRecord(
            f"batch at offset {header.base_offset}: "
            f"{len(data) - position} bytes after its {header.record_count} records"
        )
    return records


def encode_records(
    records: Iterable[tuple[int, bytes | None, bytes | None, Timestamp, Headers]],
    base_timestamp: Timestamp,
) -> bytearray:
    """Write records, each as (offset delta, key, value, timestamp, headers), uncompressed."""
    out = bytearray()
    for offset_delta, key, value, timestamp, headers in records:
        if not -_INT64_HALF <= timestamp < _INT64_HALF:
            raise OverflowError(f"timestamp {timestamp} takes more than 64 bits")
        record = bytearray(b"\0")  # attributes: none are defined
        _write_varint(record, _wrap(timestamp - base_timestamp))
        _write_varint(record, offset_delta)
        _write_bytes(record, key)
        _write_bytes(record, value)
        _write_varint(record, len(headers))
        for name, content in headers:
            _write_bytes(record, name.encode())
            _write_bytes(record, content)
        _write_varint(out, len(record))
        out += record
    return out


def record_slices(data: Buffer, count: int) -> list[tuple[int, int]]:
    """Return where each of `count` uncompressed records begins and ends, its length included.

    Offsets and timestamps are relative to the batch, so a slice can go into a copy of the batch as
    it is: that is how compaction leaves records out without encoding any.
    """
    slices = []
    position = 0
    for _ in range(count):
        length, body = read_varint(data, position)
        slices.append((position, body + length))
        position = body + length
    return slices


def read_varint(data: Buffer, position: int) -> tuple[int, int]:
    """Read a zigzag varint of at most 64 bits; return it and the position after it."""
    result = shift = 0
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return _wrap((result >> 1) ^ -(result & 1)), position
        shift += 7
        if shift > 63:
            raise InvalidRecord(f"a number at {position} takes more than 64 bits")


def _write_varint(out: bytearray, value: int) -> None:
    zigzag = (value << 1) ^ (value >> 63)
    while zigzag > 0x7F:
        out.append((zigzag & 0x7F) | 0x80)
        zigzag >>= 7
    out.append(zigzag)


def _write_bytes(out: bytearray, content: bytes | None) -> None:
    if content is None:
        out.append(1)  # -1
    else:
        _write_varint(out, len(content))
        out += content


def _decode_record(data: bytes, start: int, header: BatchHeader) -> tuple[PlainRecord, int]:
    length, body = read_varint(data, start)
    # One byte without meaning so far; read as the extension does, which is the same below 128.
    _attributes, position = read_varint(data, body)
    timestamp_delta, position = read_varint(data, position)
    offset_delta, position = read_varint(data, position)
    key, position = _read_bytes(data, position)
    value, position = _read_bytes(data, position)
    count, position = read_varint(data, position)
    if count < 0:
        raise InvalidRecord(f"a record with {count} headers")
    headers = []
    for _ in range(count):
        name, position = _read_bytes(data, position)
        if name is None:
            raise InvalidRecord("a header without a name")
        content, position = _read_bytes(data, position)
        headers.append((name.decode(), content))
    if position != body + length:
        raise InvalidRecord(f"a record says {length} bytes, but has {position - body}")
    timestamp = (
        header.max_timestamp
        if header.timestamp_type == "LogAppendTime"
        else _wrap(header.base_timestamp + timestamp_delta)
    )
    return PlainRecord(header.base_offset + offset_delta, timestamp, key, value, headers), position


def _read_bytes(data: bytes, position: int) -> tuple[bytes | None, int]:
    length, position = read_varint(data, position)
    if length < 0:
        return None, position
    end = position + length
    if end > len(data):
        raise IndexError(f"{length} bytes at {position} of {len(data)}")
    return data[position:end], end


def _codec(header: BatchHeader) -> Compression:
    try:
        return header.compression
    except ValueError:
        raise InvalidRecord(f"there is no compression codec {header.attributes & 7}") from None


def _wrap(value: int) -> int:
    """Return the 64-bit signed number that remains of `value`."""
    if -_INT64_HALF <= value < _INT64_HALF:
        return value
    value %= _INT64
    return value - _INT64 if value >= _INT64_HALF else value
