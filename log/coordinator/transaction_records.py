"""What a coordinator writes of a transaction: Kafka's TransactionLogKey v0 and TransactionLogValue v0."""

import struct
from typing import Final

from ..errors import LogError
from ..model import NewRecord, TopicPartition
from .encoding import Fields, string
from .transactions import Status, Transaction

_VERSION: Final = 0
_INT16: Final = struct.Struct(">h")
_INT32: Final = struct.Struct(">i")
_START: Final = struct.Struct(">hqhib")
_END: Final = struct.Struct(">qq")


def encode_transaction(transaction: Transaction) -> NewRecord:
    """Make the record that tells of this state; a dead transaction's is a tombstone."""
    key = _INT16.pack(_VERSION) + string(transaction.transactional_id)
    if transaction.status is Status.DEAD:
        return NewRecord(key, None, transaction.updated)
    start = _START.pack(
        _VERSION,
        transaction.producer_id,
        transaction.producer_epoch,
        transaction.timeout_ms,
        transaction.status,
    )
    end = _END.pack(transaction.updated, transaction.started)
    return NewRecord(key, start + _encode_partitions(transaction) + end, transaction.updated)


def decode_transaction(key: bytes, value: bytes | None) -> Transaction:
    """Read a record.

    Raises:
        LogError: a version from the future.
    """
    fields = Fields(key)
    if (version := fields.int16()) != _VERSION:
        raise LogError(f"a transaction's key of version {version}; this Millpond reads version 0")
    transactional_id = fields.string()
    if value is None:
        return Transaction(transactional_id, -1, -1, 0, Status.DEAD, frozenset(), -1)
    fields = Fields(value)
    version, producer_id, producer_epoch, timeout_ms, status = fields.take(_START)
    if version != _VERSION:
        raise LogError(f"a transaction of version {version}; this Millpond reads version 0")
    partitions = frozenset(_decode_partitions(fields))
    updated, started = fields.take(_END)
    return Transaction(
        transactional_id,
        producer_id,
        producer_epoch,
        timeout_ms,
        Status(status),
        partitions,
        updated,
        started,
    )


def _encode_partitions(transaction: Transaction) -> bytes:
    by_topic: dict[str, list[int]] = {}
    for topic, partition in sorted(transaction.partitions):
        by_topic.setdefault(topic, []).append(partition)
    parts = [_INT32.pack(len(by_topic))]
    for topic, partitions in by_topic.items():
        count = len(partitions)
        parts += [string(topic), struct.pack(f">i{count}i", count, *partitions)]
    return b"".join(parts)


def _decode_partitions(fields: Fields) -> list[TopicPartition]:
    found = []
    for _ in range(fields.int32()):  # Kafka writes -1 for none, which is an empty range as well
        topic = fields.string()
        found += [TopicPartition(topic, fields.int32()) for _ in range(fields.int32())]
    return found
