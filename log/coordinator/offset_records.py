"""What a coordinator writes of a committed offset: Kafka's OffsetCommitKey and OffsetCommitValue v3.

Older values are read, and version 4, which may add a topic id. Version 1 is written for an offset that
an old client gives a time of its own to be kept.

Source: `OffsetCommitKey.json` and `OffsetCommitValue.json` of Kafka 4.1.
"""

from functools import lru_cache
from typing import Annotated, Final

from ..errors import LogError
from ..model import CommittedOffset, NewRecord, Timestamp, TopicPartition
from ..wire.schema import Int32, Int64, Message, Since, String, Until
from .group_records import decode_body, encode_versioned, version_of
from .offsets import OffsetEntry, OffsetKey

OFFSET_COMMIT: Final = 1
"""The number of this kind of record; 0 is the same, from before Kafka 0.9."""

KEYS_REMEMBERED: Final = 16_384
"""So many keys are kept as bytes and read: groups commit for the same partitions again and again."""

_VERSION: Final = 3
_VERSION_WITH_EXPIRY: Final = 1
_LAST_VERSION_READ: Final = 4


class OffsetCommitKey(Message):
    """Names a group and a partition."""

    group: String
    topic: String
    partition: Int32


class OffsetCommitValue(Message):
    """How far the group is there. The topic id of version 4, a tagged field, is passed over."""

    offset: Int64
    leader_epoch: Annotated[Int32, Since(3)] = -1
    metadata: String
    commit_timestamp: Int64
    expire_timestamp: Annotated[Int64, Since(1), Until(1)] = -1


def encode_commit(
    key: OffsetKey,
    committed: CommittedOffset,
    now: Timestamp,
    expires_at: Timestamp | None = None,
) -> NewRecord:
    """Make the record of a commit."""
    value = OffsetCommitValue(
        offset=committed.offset,
        leader_epoch=committed.leader_epoch,
        metadata=committed.metadata,
        commit_timestamp=now,
        expire_timestamp=-1 if expires_at is None else expires_at,
    )
    version = _VERSION if expires_at is None else _VERSION_WITH_EXPIRY
    data = encode_versioned(value, version, message_version=version)
    return NewRecord(_encode_key(key), data, now)


def encode_removal(key: OffsetKey, now: Timestamp) -> NewRecord:
    """Make the tombstone of a commit."""
    return NewRecord(_encode_key(key), None, now)


@lru_cache(KEYS_REMEMBERED)
def decode_key(data: bytes) -> OffsetKey | None:
    """Read a key; None for another kind of record, such as a group's metadata.

    Raises:
        LogError: it is damaged.
    """
    if version_of(data) > OFFSET_COMMIT:
        return None
    key = decode_body(OffsetCommitKey, data, version=0, flexible=False)
    return OffsetKey(key.group, TopicPartition(key.topic, key.partition))


def decode_entry(data: bytes, log_offset: int) -> OffsetEntry:
    """Read a value that stands at this place in the log.

    Raises:
        LogError: it is damaged, or of a version from the future.
    """
    version = version_of(data)
    if not 0 <= version <= _LAST_VERSION_READ:
        raise LogError(
            f"a committed offset of version {version}; this Millpond reads up to "
            f"{_LAST_VERSION_READ}"
        )
    flexible = version >= _LAST_VERSION_READ
    value = decode_body(OffsetCommitValue, data, version=version, flexible=flexible)
    return OffsetEntry(
        log_offset,
        CommittedOffset(value.offset, value.leader_epoch, value.metadata),
        value.commit_timestamp,
        None if value.expire_timestamp < 0 else value.expire_timestamp,
    )


@lru_cache(KEYS_REMEMBERED)
def _encode_key(key: OffsetKey) -> bytes:
    group, (topic, partition) = key
    message = OffsetCommitKey(group=group, topic=topic, partition=partition)
    return encode_versioned(message, OFFSET_COMMIT, message_version=0)
