"""What a coordinator writes of a transaction: Kafka's TransactionLogKey and TransactionLogValue.

Version 0 of the value, or version 1 where something is to be said that version 0 cannot: from whom an
owner has moved on by itself, or to whom it will (KIP-890, KIP-939). Both are read.

Source: `TransactionLogValue.json` of Kafka 4.1.
"""

from typing import Annotated, Final

from ..errors import LogError
from ..model import NewRecord, TopicPartition
from ..wire.schema import Int8, Int16, Int32, Int64, Message, Since, String, Tagged
from .group_records import decode_body, encode_versioned, version_of
from .transaction_state import NO_PRODUCER, Identity, Status, Transaction

_KEY_VERSION: Final = 0
_FLEXIBLE_SINCE: Final = 1


class TransactionLogKey(Message):
    """Names the transaction."""

    transactional_id: String


class TransactionLogPartitions(Message):
    """Partitions of one topic that the transaction writes to."""

    topic: String
    partition_ids: list[Int32]


class TransactionLogValue(Message):
    """The state of a transactional id."""

    producer_id: Int64
    previous_producer_id: Annotated[Int64, Since(1), Tagged(0)] = NO_PRODUCER
    next_producer_id: Annotated[Int64, Since(1), Tagged(1)] = NO_PRODUCER
    producer_epoch: Int16
    next_producer_epoch: Annotated[Int16, Since(1), Tagged(3)] = NO_PRODUCER
    transaction_timeout_ms: Int32
    transaction_status: Int8
    transaction_partitions: list[TransactionLogPartitions] | None
    last_update_timestamp_ms: Int64
    start_timestamp_ms: Int64


def encode_transaction(transaction: Transaction) -> NewRecord:
    """Make the record that tells of this state; a dead transaction's is a tombstone."""
    key = encode_versioned(
        TransactionLogKey(transactional_id=transaction.transactional_id),
        _KEY_VERSION,
        message_version=_KEY_VERSION,
    )
    if transaction.status is Status.DEAD:
        return NewRecord(key, None, transaction.updated)
    moves = transaction.next is not None or transaction.previous_producer_id != NO_PRODUCER
    version = _FLEXIBLE_SINCE if moves else 0
    following = transaction.next or Identity(NO_PRODUCER, NO_PRODUCER)
    value = TransactionLogValue(
        producer_id=transaction.producer_id,
        previous_producer_id=transaction.previous_producer_id,
        next_producer_id=following.producer_id,
        producer_epoch=transaction.producer_epoch,
        next_producer_epoch=following.producer_epoch,
        transaction_timeout_ms=transaction.timeout_ms,
        transaction_status=transaction.status,
        transaction_partitions=_by_topic(transaction),
        last_update_timestamp_ms=transaction.updated,
        start_timestamp_ms=transaction.started,
    )
    data = encode_versioned(value, version, message_version=version, flexible=moves)
    return NewRecord(key, data, transaction.updated)


def decode_transaction(key: bytes, value: bytes | None) -> Transaction:
    """Read a record.

    Raises:
        LogError: a version from the future.
    """
    if (version := version_of(key)) != _KEY_VERSION:
        raise LogError(f"a transaction's key of version {version}; this Millpond reads version 0")
    named = decode_body(TransactionLogKey, key, version=version, flexible=False)
    transactional_id = named.transactional_id
    if value is None:
        return Transaction(transactional_id, -1, -1, 0, Status.DEAD, frozenset(), -1)
    version = version_of(value)
    if not 0 <= version <= _FLEXIBLE_SINCE:
        raise LogError(
            f"transaction {transactional_id!r}: its record has version {version}; "
            f"this Millpond reads up to {_FLEXIBLE_SINCE}"
        )
    body = decode_body(
        TransactionLogValue, value, version=version, flexible=version >= _FLEXIBLE_SINCE
    )
    return Transaction(
        transactional_id,
        body.producer_id,
        body.producer_epoch,
        body.transaction_timeout_ms,
        Status(body.transaction_status),
        frozenset(
            TopicPartition(of.topic, number)
            for of in body.transaction_partitions or ()
            for number in of.partition_ids
        ),
        body.last_update_timestamp_ms,
        body.start_timestamp_ms,
        body.previous_producer_id,
        Identity(body.next_producer_id, max(body.next_producer_epoch, 0))
        if body.next_producer_id != NO_PRODUCER
        else None,
    )


def _by_topic(transaction: Transaction) -> list[TransactionLogPartitions]:
    numbers: dict[str, list[int]] = {}
    for topic, partition in sorted(transaction.partitions):
        numbers.setdefault(topic, []).append(partition)
    return [
        TransactionLogPartitions(topic=topic, partition_ids=partitions)
        for topic, partitions in numbers.items()
    ]
