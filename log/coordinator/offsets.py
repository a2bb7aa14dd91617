"""Where groups have got to: the state of one partition of `__consumer_offsets`.

The state is the replay of the partition's records and nothing else. A commit outside transactions
counts from its record on; one inside a transaction is pending until the transaction's marker stands
in this partition (KIP-98). A record counts here when it is appended: whoever tells others of it waits
until it is durable.

Of what several transactions and plain commits say of one partition, the record that stands last in
the log wins, whenever its transaction ended: compaction keeps the last record too.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from ..errors import RecordTooLarge
from ..model import CommittedOffset, Offset, Timestamp, TopicPartition

METADATA_BYTES_MAX: Final = 4096
"""Kafka's `offset.metadata.max.bytes`."""

STRING_BYTES_MAX: Final = 2**15 - 1
"""Records of committed offsets have no room for more, whatever the setting."""


class OffsetKey(NamedTuple):
    """What an offset is kept under."""

    group: str
    partition: TopicPartition


class OffsetEntry(NamedTuple):
    """A committed offset, when it was committed, and where in this log it stands.

    `expires_at` is given by old clients only, who may say how long an offset is to be kept.
    """

    log_offset: Offset
    committed: CommittedOffset
    committed_at: Timestamp = -1
    expires_at: Timestamp | None = None


class GroupOffsets:
    """The offsets of all groups that one coordinator partition keeps."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[TopicPartition, OffsetEntry]] = {}
        self._pending: dict[int, dict[OffsetKey, OffsetEntry]] = {}
        self._pending_in: dict[str, Counter[TopicPartition]] = {}
        """By group, in how many open transactions a partition's offset is committed."""

    # -- reading -------------------------------------------------------------------------------

    def groups(self) -> list[str]:
        """Return the groups that have committed something."""
        return list(self._entries)

    def has(self, group: str) -> bool:
        """Say whether the group has committed something, be it in an open transaction."""
        return group in self._entries or group in self._pending_in

    def committed(
        self, group: str, partitions: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, CommittedOffset]:
        """Return what the group has committed: of these partitions, or everything."""
        entries = self._entries.get(group, {})
        if partitions is None:
            return {partition: entry.committed for partition, entry in entries.items()}
        return {each: entries[each].committed for each in partitions if each in entries}

    def entries(self, group: str) -> Mapping[TopicPartition, OffsetEntry]:
        """Return what the group has committed, and when."""
        return self._entries.get(group, {})

    def pending(self, group: str) -> Counter[TopicPartition]:
        """Return the partitions of which the group has committed an offset in open transactions."""
        return self._pending_in.get(group, Counter())

    def keys(self, group: str) -> list[OffsetKey]:
        """Return under which keys, pending ones included, anything of the group is kept."""
        partitions = dict.fromkeys([*self.entries(group), *self.pending(group)])
        return [OffsetKey(group, partition) for partition in partitions]

    def topics(self) -> set[str]:
        """Return the topics of which anything, pending or not, is kept."""
        settled = {each.topic for entries in self._entries.values() for each in entries}
        return settled | {each.topic for counts in self._pending_in.values() for each in counts}

    def of_topic(self, topic: str) -> list[OffsetKey]:
        """Return under which keys, pending ones included, anything of this topic is kept."""
        groups = dict.fromkeys([*self._entries, *self._pending_in])
        return [key for group in groups for key in self.keys(group) if key.partition.topic == topic]

    # -- taking in records, in the order of the log -----------------------------------------------

    def apply(self, key: OffsetKey, entry: OffsetEntry) -> None:
        """Count a commit, unless one that stands behind it counts already."""
        entries = self._entries.setdefault(key.group, {})
        known = entries.get(key.partition)
        if known is None or known.log_offset < entry.log_offset:
            entries[key.partition] = entry

    def remove(self, key: OffsetKey) -> None:
        """Forget an offset, and what open transactions would make of it."""
        entries = self._entries.get(key.group, {})
        entries.pop(key.partition, None)
        if not entries:
            self._entries.pop(key.group, None)
        if key.partition in self.pending(key.group):
            for pending in self._pending.values():
                if key in pending:
                    del pending[key]
                    self._end_pending(key)

    def pend(self, producer_id: int, key: OffsetKey, entry: OffsetEntry) -> None:
        """Note a commit in a transaction that is still open."""
        pending = self._pending.setdefault(producer_id, {})
        if key not in pending:
            self._pending_in.setdefault(key.group, Counter())[key.partition] += 1
        pending[key] = entry

    def end_transaction(self, producer_id: int, *, commit: bool) -> None:
        """Note that the transaction's marker stands in this partition."""
        for key, entry in self._pending.pop(producer_id, {}).items():
            self._end_pending(key)
            if commit:
                self.apply(key, entry)

    def _end_pending(self, key: OffsetKey) -> None:
        counts = self._pending_in[key.group]
        counts[key.partition] -= 1
        if not counts[key.partition]:
            del counts[key.partition]
        if not counts:
            del self._pending_in[key.group]


def is_too_large(metadata: str, bytes_max: int = METADATA_BYTES_MAX) -> bool:
    """Say whether metadata takes more than is kept; short text needs no encoding to tell."""
    bytes_max = min(bytes_max, STRING_BYTES_MAX)
    return len(metadata) * 4 > bytes_max and len(metadata.encode()) > bytes_max


def check_metadata(offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
    """Refuse metadata that Kafka would refuse.

    Raises:
        RecordTooLarge: of one of them.
    """
    for partition, committed in offsets.items():
        if is_too_large(committed.metadata):
            raise RecordTooLarge(
                f"{partition}: metadata of a committed offset has "
                f"{len(committed.metadata.encode())} bytes, "
                f"but at most {METADATA_BYTES_MAX} are kept"
            )
