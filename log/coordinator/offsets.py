"""Where groups have got to: the state of one partition of `__consumer_offsets`.

The state is the replay of the partition's records and nothing else. A commit outside transactions
counts once its record is durable; one inside a transaction is pending until the transaction's marker
stands in this partition (KIP-98). For one group and partition the record with the larger offset in
this log wins, in whatever order durability was reported.

Record formats are Kafka's OffsetCommitKey v1 and OffsetCommitValue v3; older versions are read.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from ..errors import LogError, RecordTooLarge
from ..model import CommittedOffset, NewRecord, Offset, Timestamp, TopicPartition
from .encoding import Fields, string

METADATA_BYTES_MAX: Final = 4096
"""Kafka's `offset.metadata.max.bytes`."""

_KEY_VERSION: Final = 1
_VALUE_VERSION: Final = 3
_INT32: Final = struct.Struct(">i")
_VERSION: Final = struct.Struct(">h")
_VALUE_START: Final = struct.Struct(">hqi")
_OFFSET: Final = struct.Struct(">q")
_TIMESTAMP: Final = struct.Struct(">q")


class OffsetKey(NamedTuple):
    """What an offset is kept under."""

    group: str
    partition: TopicPartition


class OffsetEntry(NamedTuple):
    """A committed offset, or None for a removed one, and where in this log it stands."""

    log_offset: Offset
    committed: CommittedOffset | None


class GroupOffsets:
    """The offsets of all groups that one coordinator partition keeps."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[TopicPartition, OffsetEntry]] = {}
        self._pending: dict[int, dict[OffsetKey, OffsetEntry]] = {}

    def groups(self) -> list[str]:
        """Return the groups that have committed something."""
        return [group for group in self._entries if self.committed(group)]

    def committed(
        self, group: str, partitions: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, CommittedOffset]:
        """Return what the group has committed: of these partitions, or everything."""
        entries = self._entries.get(group, {})
        found = {}
        for partition in entries if partitions is None else partitions:
            entry = entries.get(partition)
            if entry is not None and entry.committed is not None:
                found[partition] = entry.committed
        return found

    def topics(self) -> set[str]:
        """Return the topics of which anything, pending or not, is kept."""
        found = {
            partition.topic
            for entries in self._entries.values()
            for partition, entry in entries.items()
            if entry.committed is not None
        }
        return found.union(key.partition.topic for keys in self._pending.values() for key in keys)

    def of_topic(self, topic: str) -> list[OffsetKey]:
        """Return under which keys, pending ones included, anything of this topic is kept."""
        settled = [
            OffsetKey(group, partition)
            for group, entries in self._entries.items()
            for partition, entry in entries.items()
            if partition.topic == topic and entry.committed is not None
        ]
        pending = [
            key for keys in self._pending.values() for key in keys if key.partition.topic == topic
        ]
        return list(dict.fromkeys(settled + pending))

    def apply(self, key: OffsetKey, entry: OffsetEntry) -> None:
        """Count a record that is durable. A removal also takes back what was pending before it."""
        entries = self._entries.setdefault(key.group, {})
        known = entries.get(key.partition)
        if known is None or known.log_offset < entry.log_offset:
            entries[key.partition] = entry
        if entry.committed is None:
            for pending in self._pending.values():
                if key in pending and pending[key].log_offset < entry.log_offset:
                    del pending[key]

    def pend(self, producer_id: int, key: OffsetKey, entry: OffsetEntry) -> None:
        """Note a record of a transaction that is still open."""
        self._pending.setdefault(producer_id, {})[key] = entry

    def end_transaction(self, producer_id: int, *, commit: bool) -> None:
        """Note that the transaction's marker stands in this partition."""
        pending = self._pending.pop(producer_id, {})
        if commit:
            for key, entry in pending.items():
                self.apply(key, entry)


def check_metadata(offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
    """Refuse metadata that Kafka would refuse.

    Raises:
        RecordTooLarge: of one of them.
    """
    for partition, committed in offsets.items():
        metadata = committed.metadata
        # UTF-8 takes at most three bytes for a UTF-16 unit, so short text needs no encoding here.
        if len(metadata) * 4 > METADATA_BYTES_MAX:
            size = len(metadata.encode())
            if size > METADATA_BYTES_MAX:
                raise RecordTooLarge(
                    f"{partition}: metadata of a committed offset has {size} bytes, "
                    f"but at most {METADATA_BYTES_MAX} are kept"
                )


def encode_commit(key: OffsetKey, committed: CommittedOffset, now: Timestamp) -> NewRecord:
    """Make the record of a commit."""
    value = (
        _VALUE_START.pack(_VALUE_VERSION, committed.offset, committed.leader_epoch)
        + string(committed.metadata)
        + _TIMESTAMP.pack(now)
    )
    return NewRecord(_encode_key(key), value, now)


def encode_removal(key: OffsetKey, now: Timestamp) -> NewRecord:
    """Make the tombstone of a commit."""
    return NewRecord(_encode_key(key), None, now)


def decode_key(data: bytes) -> OffsetKey | None:
    """Read a key; None for another kind of record, such as a group's metadata (version 2)."""
    fields = Fields(data)
    if fields.int16() > _KEY_VERSION:
        return None
    group, topic = fields.string(), fields.string()
    return OffsetKey(group, TopicPartition(topic, fields.int32()))


def decode_value(data: bytes | None) -> CommittedOffset | None:
    """Read a value; None for a tombstone.

    Raises:
        LogError: a version from the future.
    """
    if data is None:
        return None
    fields = Fields(data)
    version = fields.int16()
    if not 0 <= version <= _VALUE_VERSION:
        raise LogError(f"a committed offset of version {version}; this Millpond reads up to 3")
    (offset,) = fields.take(_OFFSET)
    leader_epoch = fields.int32() if version >= _VALUE_VERSION else -1
    return CommittedOffset(offset, leader_epoch, fields.string())


def _encode_key(key: OffsetKey) -> bytes:
    group, (topic, partition) = key
    return _VERSION.pack(_KEY_VERSION) + string(group) + string(topic) + _INT32.pack(partition)
