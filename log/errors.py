"""Errors of the log, and the two roots that every Millpond error descends from.

Three kinds of failure are kept apart: our own broken assumption is an `assert`; the world's
misbehaviour is a `LogError` that carries coordinates; the user's mistake is a `ConfigError`, raised
at start, which shows the value and what would work.
"""

from .model import Offset, TopicPartition


class MillpondError(Exception):
    """Root of all errors that Millpond raises on purpose."""


class ConfigError(MillpondError):
    """The user's mistake: the message shows the value, where it came from, and what would work."""


class LogError(MillpondError):
    """The log could not do what was asked."""


class UnknownTopic(LogError):
    """No such topic, or no such partition of it."""


class TopicExists(LogError):
    """A topic of that name exists already."""


class DirectoryTaken(LogError):
    """Where a partition is to be made there are records already, of which the log knows nothing."""


class OffsetOutOfRange(LogError):
    """The offset asked for lies outside what the partition holds.

    Attributes:
        partition: where.
        offset: what was asked for.
        start, end: the range that exists, half-open.
    """

    def __init__(
        self, partition: TopicPartition, offset: Offset, start: Offset, end: Offset
    ) -> None:
        super().__init__(f"{partition}: offset {offset} is outside {start} ≤ offset ≤ {end}")
        self.partition = partition
        self.offset = offset
        self.start = start
        self.end = end


class Fenced(LogError):
    """A newer owner has taken over: this producer or member must stop."""


class Expelled(Fenced):
    """A group has gone on without this member: what it had may be others' now. It may join as a new one."""


class UnknownProducer(Fenced):
    """The transactional id is not, or not any more, that of this producer id."""


class ConcurrentTransaction(LogError):
    """The producer's last transaction is still being completed: ask again a little later."""


class InvalidTransactionState(LogError):
    """The transaction is not in a state in which it could do what was asked."""


class OutOfSequence(LogError):
    """An idempotent producer's batch leaves a gap in its sequence numbers."""


class RecordTooLarge(LogError):
    """A batch is larger than the topic's `max.message.bytes`."""


class SegmentTooSmall(RecordTooLarge):
    """A batch is larger than a whole segment of the topic may be."""


class InvalidRecord(LogError):
    """A batch that a client sent is none, or not one that it may send."""


class DamagedBatch(InvalidRecord):
    """A batch did not arrive as it was sent: its length, format or CRC is wrong."""


class InvalidTimestamp(InvalidRecord):
    """A record's timestamp is further from now than the topic allows."""


class CorruptRecord(LogError):
    """Bytes that were once durable no longer check out; nothing of this partition is served.

    Attributes:
        file: the path of the damaged file.
        position: the byte at which the damaged batch begins.
        expected, found: the checksums, or what else disagreed.
    """

    def __init__(
        self, partition: TopicPartition, file: str, position: int, expected: object, found: object
    ) -> None:
        super().__init__(
            f"{partition}: {file} is damaged at byte {position}: expected {expected}, found {found}. "
            "Restore the file from a copy, or delete the partition's directory to give up its records."
        )
        self.partition = partition
        self.file = file
        self.position = position
        self.expected = expected
        self.found = found


class DiskFailed(LogError):
    """A write or fsync failed. The log stops: a failed fsync is never retried."""


class Unreachable(LogError):
    """A cluster does not answer in time: no broker, no leader, or no way to them."""


class NotAuthorized(LogError):
    """A cluster refuses who asks: an unknown user, or one who may not do that."""


class GroupActive(LogError):
    """A group has members, so nobody else may say how far it is."""


class LogLocked(LogError):
    """Another process holds the data directory; the message says which."""
