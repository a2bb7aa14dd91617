"""librdkafka's errors as ours: one table.

What the table doesn't know stays a `LogError` that names librdkafka's code. Where the same code says
something else (a commit from outside a group answers UNKNOWN_MEMBER_ID while the group has members),
the caller puts that above the table.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from ..errors import (
    ConcurrentTransaction,
    ConfigError,
    DamagedBatch,
    Fenced,
    InvalidRecord,
    InvalidTimestamp,
    InvalidTransactionState,
    LogError,
    MillpondError,
    NotAuthorized,
    OutOfSequence,
    RecordTooLarge,
    TopicExists,
    UnknownProducer,
    UnknownTopic,
    Unreachable,
)
from ..wire.error_codes import ErrorCode

Table = Mapping[int, type[MillpondError]]

ERRORS: Final[Table] = MappingProxyType(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART: UnknownTopic,
        KafkaError.UNKNOWN_TOPIC_ID: UnknownTopic,
        KafkaError._UNKNOWN_TOPIC: UnknownTopic,
        KafkaError._UNKNOWN_PARTITION: UnknownTopic,
        KafkaError.TOPIC_ALREADY_EXISTS: TopicExists,
        KafkaError.TOPIC_EXCEPTION: ConfigError,
        KafkaError.INVALID_PARTITIONS: ConfigError,
        KafkaError.INVALID_REPLICATION_FACTOR: ConfigError,
        KafkaError.INVALID_REPLICA_ASSIGNMENT: ConfigError,
        KafkaError.INVALID_CONFIG: ConfigError,
        KafkaError.INVALID_REQUEST: ConfigError,
        KafkaError.POLICY_VIOLATION: ConfigError,
        KafkaError._INVALID_ARG: ConfigError,
        KafkaError.MSG_SIZE_TOO_LARGE: RecordTooLarge,
        KafkaError.OFFSET_METADATA_TOO_LARGE: RecordTooLarge,
        KafkaError.INVALID_MSG: DamagedBatch,
        KafkaError.INVALID_RECORD: InvalidRecord,
        KafkaError.INVALID_TIMESTAMP: InvalidTimestamp,
        KafkaError.INVALID_PRODUCER_EPOCH: Fenced,
        KafkaError.PRODUCER_FENCED: Fenced,
        KafkaError._FENCED: Fenced,
        KafkaError.FENCED_INSTANCE_ID: Fenced,
        KafkaError.ILLEGAL_GENERATION: Fenced,
        KafkaError.UNKNOWN_MEMBER_ID: Fenced,
        KafkaError.STALE_MEMBER_EPOCH: Fenced,
        KafkaError.INVALID_PRODUCER_ID_MAPPING: UnknownProducer,
        KafkaError.UNKNOWN_PRODUCER_ID: OutOfSequence,
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER: OutOfSequence,
        KafkaError.CONCURRENT_TRANSACTIONS: ConcurrentTransaction,
        KafkaError.INVALID_TXN_STATE: InvalidTransactionState,
        KafkaError._STATE: InvalidTransactionState,
        KafkaError.TOPIC_AUTHORIZATION_FAILED: NotAuthorized,
        KafkaError.GROUP_AUTHORIZATION_FAILED: NotAuthorized,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED: NotAuthorized,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: NotAuthorized,
        KafkaError.SASL_AUTHENTICATION_FAILED: NotAuthorized,
        KafkaError._AUTHENTICATION: NotAuthorized,
        KafkaError._TRANSPORT: Unreachable,
        KafkaError._DESTROY_BROKER: Unreachable,
        KafkaError._ALL_BROKERS_DOWN: Unreachable,
        KafkaError._RESOLVE: Unreachable,
        KafkaError._SSL: Unreachable,
        KafkaError._TIMED_OUT: Unreachable,
        KafkaError._TIMED_OUT_QUEUE: Unreachable,
        KafkaError._MSG_TIMED_OUT: Unreachable,
        KafkaError._WAIT_COORD: Unreachable,
        KafkaError._WAIT_CACHE: Unreachable,
        KafkaError.REQUEST_TIMED_OUT: Unreachable,
        KafkaError.COORDINATOR_NOT_AVAILABLE: Unreachable,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS: Unreachable,
        KafkaError.NOT_COORDINATOR: Unreachable,
        KafkaError.LEADER_NOT_AVAILABLE: Unreachable,
        KafkaError.NOT_LEADER_FOR_PARTITION: Unreachable,
        KafkaError.NOT_ENOUGH_REPLICAS: Unreachable,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND: Unreachable,
    }
)
"""By librdkafka's number. `Unreachable` also stands for a cluster that is there but can't answer."""

TRANSIENT: Final = frozenset(
    {
        KafkaError._WAIT_COORD,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError._NOENT,  # of a partition that has no leader, as after a broker's start
        KafkaError.CONCURRENT_TRANSACTIONS,
    }
)
"""What goes away by itself: to be asked again until the deadline."""

MOVED: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    }
)
"""Of what goes away by itself, what does so only when librdkafka learns who leads the partition by now."""

DISCONNECTED: Final = frozenset(
    {KafkaError._TRANSPORT, KafkaError._DESTROY_BROKER, KafkaError._ALL_BROKERS_DOWN}
)
"""What a broker that goes away leaves open: a question is asked again, a change may have been made."""


def error_of(failure: BaseException) -> KafkaError:
    """Return what librdkafka says went wrong."""
    assert isinstance(failure, KafkaException), failure
    error = failure.args[0]
    assert isinstance(error, KafkaError)
    return error


def served(serve: Callable[[float], object], timeout_s: float) -> None:
    """Let librdkafka make its reports: `poll` or `flush` of a producer.

    A fatal error is raised by whatever callback comes next, so it may come wrapped, or be lost on the
    way; then the next call of the producer raises it.

    Raises:
        KafkaException: this instance is of no use any more.
    """
    try:
        serve(timeout_s)
    except SystemError as failure:
        if isinstance(failure.__cause__, KafkaException):
            raise failure.__cause__ from None


def translated(
    error: KafkaError, subject: object, above: Table = MappingProxyType({})
) -> MillpondError:
    """Return librdkafka's error as one of ours.

    Args:
        error: what librdkafka says.
        subject: what it is about: a partition, a topic, a group.
        above: counts before the table.
    """
    kind = above.get(error.code()) or ERRORS.get(error.code())
    text = error.str()
    if str(subject) not in text:
        text = f"{subject}: {text}"
    return LogError(f"{text} ({error.name()})") if kind is None else kind(text)


def refusal(code: int, subject: object, above: Table = MappingProxyType({})) -> MillpondError:
    """Return what a broker says over the protocol, whose numbers librdkafka shares, as one of ours.

    Args:
        code: the error code in the answer.
        subject: what it is about: a partition, a topic, a group.
        above: counts before the table.
    """
    kind = above.get(code) or ERRORS.get(code) or LogError
    try:
        name = ErrorCode(code).name
    except ValueError:
        name = f"error code {code}"
    return kind(f"{subject}: {name}")
