"""Producer state as a file, so that recovery need not read the whole log again.

`<offset>.snapshot` holds the state from all batches before that offset, in Kafka's format: version
int16, CRC32C int32 of what follows, count int32, then for each producer: id int64, epoch int16, last
sequence int32, last data offset int64, offset delta of the last batch int32, timestamp int64,
coordinator epoch int32, first offset of the open transaction int64 (-1: none).

Only the last of the five remembered batches is kept, as in Kafka: a retry that spans a restart is
nearly always of the last batch.
"""

import struct
from collections.abc import Iterable
from typing import Final

import google_crc32c

from ..model import Timestamp, TopicPartition
from .producer_state import NONE, ProducerEntry, ProducerStates, RememberedBatch

_VERSION: Final = 1
_HEAD: Final = struct.Struct(">hI")
_COUNT: Final = struct.Struct(">i")
_ENTRY: Final = struct.Struct(">qhiqiqiq")


class SnapshotDamaged(ValueError):
    """A snapshot that can't be used: the state is then rebuilt from batches."""


def encode_snapshot(entries: Iterable[ProducerEntry]) -> bytes:
    """Return the bytes of a snapshot file."""
    packed = [_pack(entry) for entry in entries]
    body = _COUNT.pack(len(packed)) + b"".join(packed)
    return _HEAD.pack(_VERSION, google_crc32c.value(body)) + body


def decode_snapshot(partition: TopicPartition, data: bytes, now: Timestamp) -> ProducerStates:
    """Read a snapshot file.

    Raises:
        SnapshotDamaged: it is incomplete, of another version, or its CRC is wrong.
    """
    states = ProducerStates(partition)
    try:
        version, crc = _HEAD.unpack_from(data)
        body = data[_HEAD.size :]
        if version != _VERSION:
            raise SnapshotDamaged(f"version {version}")
        if google_crc32c.value(body) != crc:
            raise SnapshotDamaged(f"CRC is not {crc:#010x}")
        (count,) = _COUNT.unpack_from(body)
        for fields in _ENTRY.iter_unpack(body[_COUNT.size : _COUNT.size + count * _ENTRY.size]):
            states.put(_unpack(now, *fields))
    except struct.error as error:
        raise SnapshotDamaged(str(error)) from error
    return states


def _pack(entry: ProducerEntry) -> bytes:
    last = entry.batches[-1] if entry.batches else None
    return _ENTRY.pack(
        entry.producer_id,
        entry.producer_epoch,
        last.last_sequence if last else NONE,
        last.last_offset if last else NONE,
        last.last_offset - last.base_offset if last else 0,
        entry.last_timestamp,
        entry.coordinator_epoch,
        NONE if entry.transaction_start is None else entry.transaction_start,
    )


def _unpack(
    now: Timestamp,
    producer_id: int,
    producer_epoch: int,
    last_sequence: int,
    last_offset: int,
    offset_delta: int,
    timestamp: int,
    coordinator_epoch: int,
    transaction_start: int,
) -> ProducerEntry:
    entry = ProducerEntry(producer_id, producer_epoch)
    entry.coordinator_epoch = coordinator_epoch
    entry.last_timestamp = timestamp
    entry.last_append = now
    entry.transaction_start = None if transaction_start == NONE else transaction_start
    if last_sequence != NONE:
        entry.batches.append(
            RememberedBatch(
                (last_sequence - offset_delta) & 0x7FFFFFFF,
                last_sequence,
                last_offset - offset_delta,
                last_offset,
                timestamp,
            )
        )
    return entry
