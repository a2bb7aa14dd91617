"""The head of a record batch, version 2: 61 bytes that are all the log needs to know of a batch.

A batch travels and is stored as bytes. The log checks it, stamps its base offset and leader epoch in
place (both lie outside the CRC, so that a broker need not touch the rest) and never looks at the
records. Records themselves are the business of `records.py`.

Source: KIP-98 (the format), KIP-534 (the delete horizon in place of the base timestamp).
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

import google_crc32c

from .errors import DamagedBatch, InvalidRecord
from .model import Compression, Offset, Timestamp

Buffer: TypeAlias = bytes | bytearray | memoryview
WritableBuffer: TypeAlias = bytearray | memoryview

HEADER: Final = struct.Struct(">qiibIhiqqqhii")
HEADER_SIZE: Final = HEADER.size
SIZE_PREFIX: Final = 12
"""A batch's length field doesn't count the base offset and itself."""

MAGIC: Final = 2
CRC_START: Final = 21
"""The CRC covers everything from the attributes to the end."""

CODEC_MASK: Final = 0x07
CODEC_MAX: Final = max(Compression)
APPEND_TIME: Final = 0x08
TRANSACTIONAL: Final = 0x10
CONTROL: Final = 0x20
DELETE_HORIZON: Final = 0x40

_STAMP: Final = struct.Struct(">qii")
_CRC: Final = struct.Struct(">I")
_ATTRIBUTES: Final = struct.Struct(">h")
_MAX_TIMESTAMP: Final = struct.Struct(">q")
_CRC_POSITION: Final = 17
_MAX_TIMESTAMP_POSITION: Final = 35


class BatchHeader(NamedTuple):
    """The fields of a batch's head, in the order in which they are written."""

    base_offset: Offset
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: Timestamp
    max_timestamp: Timestamp
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def size(self) -> int:
        """Bytes of the whole batch."""
        return self.length + SIZE_PREFIX

    @property
    def last_offset(self) -> Offset:
        return self.base_offset + self.last_offset_delta

    @property
    def next_offset(self) -> Offset:
        return self.base_offset + self.last_offset_delta + 1

    @property
    def last_sequence(self) -> int:
        """The last record's sequence number; they wrap from 2**31 - 1 to 0."""
        return (self.base_sequence + self.last_offset_delta) & 0x7FFFFFFF

    @property
    def compression(self) -> Compression:
        return Compression(self.attributes & CODEC_MASK)

    @property
    def timestamp_type(self) -> str:
        return "LogAppendTime" if self.attributes & APPEND_TIME else "CreateTime"

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & CONTROL)

    @property
    def delete_horizon(self) -> Timestamp | None:
        """When tombstones and markers of this batch may go (KIP-534); None: not yet decided."""
        return self.base_timestamp if self.attributes & DELETE_HORIZON else None


def read_header(buffer: Buffer, position: int = 0) -> BatchHeader:
    """Read the head of the batch at `position`. Nothing is checked.

    Raises:
        InvalidRecord: fewer bytes than a header takes.
    """
    try:
        return BatchHeader._make(HEADER.unpack_from(buffer, position))
    except struct.error:
        raise InvalidRecord(
            f"a batch header takes {HEADER_SIZE} bytes, "
            f"but only {len(buffer) - position} are left at {position}"
        ) from None


def crc_of(batch: Buffer) -> int:
    """Compute the CRC32C that the batch should carry."""
    return int(google_crc32c.value(bytes(memoryview(batch)[CRC_START:])))


def check_batch(batch: Buffer) -> BatchHeader:
    """Check one batch as a producer sends it: exactly one, whole, with a right CRC.

    Raises:
        DamagedBatch: it did not arrive as it was sent.
        InvalidRecord: saying what is wrong.
    """
    header = read_header(batch)
    if header.magic != MAGIC:
        raise InvalidRecord(f"batch format {header.magic} is not supported, only 2")
    if header.length + SIZE_PREFIX != len(batch):
        raise DamagedBatch(f"batch says {header.size} bytes, but has {len(batch)}")
    crc = crc_of(batch)
    if crc != header.crc:
        raise DamagedBatch(f"batch says CRC {header.crc:#010x}, but its bytes give {crc:#010x}")
    if header.record_count < 1 or header.last_offset_delta != header.record_count - 1:
        raise InvalidRecord(
            f"batch of {header.record_count} records says its last offset delta is "
            f"{header.last_offset_delta}"
        )
    if header.attributes & CODEC_MASK > CODEC_MAX:
        raise InvalidRecord(f"there is no compression codec {header.attributes & CODEC_MASK}")
    if header.producer_id >= 0 and (header.producer_epoch < 0 or header.base_sequence < 0):
        if not header.is_control:
            raise InvalidRecord(
                f"producer {header.producer_id} gives epoch {header.producer_epoch} "
                f"and sequence {header.base_sequence}"
            )
    elif header.producer_id < 0 and header.is_transactional:
        raise InvalidRecord("a transactional batch needs a producer id")
    return header


def stamp(batch: WritableBuffer, base_offset: Offset, leader_epoch: int) -> None:
    """Give the batch its place in the log. Outside the CRC, so nothing else changes."""
    _STAMP.pack_into(batch, 0, base_offset, len(batch) - SIZE_PREFIX, leader_epoch)


def stamp_append_time(batch: WritableBuffer, now: Timestamp) -> None:
    """Let all records of the batch carry the time of their append, and renew the CRC."""
    (attributes,) = _ATTRIBUTES.unpack_from(batch, CRC_START)
    _ATTRIBUTES.pack_into(batch, CRC_START, attributes | APPEND_TIME)
    _MAX_TIMESTAMP.pack_into(batch, _MAX_TIMESTAMP_POSITION, now)
    stamp_crc(batch)


def stamp_create_time(batch: WritableBuffer) -> None:
    """Let the records of the batch carry their own times, and renew the CRC."""
    (attributes,) = _ATTRIBUTES.unpack_from(batch, CRC_START)
    _ATTRIBUTES.pack_into(batch, CRC_START, attributes & ~APPEND_TIME)
    stamp_crc(batch)


def stamp_crc(batch: WritableBuffer) -> None:
    """Write the CRC that the batch's bytes now have."""
    _CRC.pack_into(batch, _CRC_POSITION, crc_of(batch))


def write_header(
    batch: bytearray,
    *,
    base_offset: Offset = 0,
    leader_epoch: int = -1,
    attributes: int = 0,
    last_offset_delta: int,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    record_count: int,
) -> None:
    """Fill in the first 61 bytes of a batch whose records are in place, with length and CRC."""
    HEADER.pack_into(
        batch,
        0,
        base_offset,
        len(batch) - SIZE_PREFIX,
        leader_epoch,
        MAGIC,
        0,
        attributes,
        last_offset_delta,
        base_timestamp,
        max_timestamp,
        producer_id,
        producer_epoch,
        base_sequence,
        record_count,
    )
    stamp_crc(batch)


def batches_in(
    buffer: Buffer, *, check_crc: bool = False
) -> Iterator[tuple[BatchHeader, memoryview]]:
    """Iterate over the whole batches in a buffer, each with its bytes.

    An incomplete batch at the end is left out: a fetch from another broker may end in one.

    Raises:
        InvalidRecord: what follows is no batch, or with `check_crc`, a damaged one.
    """
    view = memoryview(buffer)
    end = len(view)
    position = 0
    while end - position >= HEADER_SIZE:
        header = BatchHeader._make(HEADER.unpack_from(view, position))
        size = header.length + SIZE_PREFIX
        if size < HEADER_SIZE or header.magic != MAGIC:
            raise InvalidRecord(
                f"no batch at {position}: {size} bytes of format {header.magic}, "
                f"expected at least {HEADER_SIZE} of format {MAGIC}"
            )
        if size > end - position:
            return
        batch = view[position : position + size]
        if check_crc and crc_of(batch) != header.crc:
            raise InvalidRecord(
                f"batch at {position}, offset {header.base_offset}: says CRC {header.crc:#010x}, "
                f"but its bytes give {crc_of(batch):#010x}"
            )
        yield header, batch
        position += size
