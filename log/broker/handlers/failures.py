"""Which error code says what went wrong in the log.

One table for all handlers. An error that is not in it leaves the handler: a fault of ours, or a failed
disk, with which the broker stops.
"""

from collections.abc import Mapping
from typing import Final

from ...errors import (
    ConcurrentTransaction,
    CorruptRecord,
    DamagedBatch,
    Fenced,
    InvalidRecord,
    InvalidTimestamp,
    InvalidTransactionState,
    LogError,
    OffsetOutOfRange,
    OutOfSequence,
    RecordTooLarge,
    SegmentTooSmall,
    TopicExists,
    UnknownProducer,
    UnknownTopic,
)
from ...wire.error_codes import ErrorCode

_CODES: Final[Mapping[type[LogError], ErrorCode]] = {
    ConcurrentTransaction: ErrorCode.CONCURRENT_TRANSACTIONS,
    CorruptRecord: ErrorCode.KAFKA_STORAGE_ERROR,
    DamagedBatch: ErrorCode.CORRUPT_MESSAGE,
    Fenced: ErrorCode.INVALID_PRODUCER_EPOCH,
    InvalidRecord: ErrorCode.INVALID_RECORD,
    InvalidTimestamp: ErrorCode.INVALID_TIMESTAMP,
    InvalidTransactionState: ErrorCode.INVALID_TXN_STATE,
    OffsetOutOfRange: ErrorCode.OFFSET_OUT_OF_RANGE,
    OutOfSequence: ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
    RecordTooLarge: ErrorCode.MESSAGE_TOO_LARGE,
    SegmentTooSmall: ErrorCode.RECORD_LIST_TOO_LARGE,
    TopicExists: ErrorCode.TOPIC_ALREADY_EXISTS,
    UnknownProducer: ErrorCode.INVALID_PRODUCER_ID_MAPPING,
    UnknownTopic: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
}


def error_code(error: LogError) -> ErrorCode:
    """Return the code for an error of the log."""
    for kind in type(error).__mro__:
        if kind in _CODES:
            return _CODES[kind]
    raise error
