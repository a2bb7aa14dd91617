"""Forgets offsets that nobody has used for `offsets.retention.minutes`, and then their groups.

An offset's time runs from its commit, if the group never had members or its members do not read the
topic any more; of a group that had members, from the day on which the last one went (KIP-211). It does
not run while members read the topic. A group goes when it is empty and has no offsets left.

All groups are looked at every `offsets.retention.check.interval.ms`, some at a time.
"""

from typing import TYPE_CHECKING, Final

from ..coordinator.group import Group
from ..coordinator.offsets import GroupOffsets
from ..model import Timestamp, TopicPartition
from ..storage.partition_log import PartitionLog
from .members import GroupCoordinator
from .waits import Flush, Handling

if TYPE_CHECKING:
    from .node import Node

GROUPS_AT_ONCE: Final = 200
PAUSE_MS: Final = 10
MINUTE_MS: Final = 60_000


class OffsetExpiry:
    """Goes through all groups from time to time."""

    def __init__(self, groups: GroupCoordinator, due_ms: int) -> None:
        self._groups = groups
        self._due_ms = due_ms
        self._left: list[str] = []

    def next_due_ms(self) -> int:
        """Return when to look at groups again."""
        return self._due_ms

    def on_time(self, node: "Node") -> Handling[None]:
        """Look at some groups; what is forgotten is written, but not waited for."""
        names = self._left or self._groups.names()
        now, self._left = names[:GROUPS_AT_ONCE], names[GROUPS_AT_ONCE:]
        pause_ms = PAUSE_MS if self._left else node.settings.offsets_retention_check_interval_ms
        self._due_ms = node.clock.elapsed_ms() + max(pause_ms, 1)
        touched = {log for name in now if (log := self._look_at(node, name)) is not None}
        if touched:
            yield Flush(touched)

    def _look_at(self, node: "Node", name: str) -> PartitionLog | None:
        group = self._groups.get(name)
        if group is None:
            return None
        now = node.now()
        state = node.offsets.state_of(name)
        retention_ms = node.settings.offsets_retention_minutes * MINUTE_MS
        expired = _expired(group, state, now, retention_ms)
        if group.is_empty and len(expired) == len(state.keys(name)):
            return self._groups.delete(group, now)
        return node.offsets.remove(name, expired, now) if expired else None


def _expired(
    group: Group, state: GroupOffsets, now: Timestamp, retention_ms: int
) -> list[TopicPartition]:
    """Return the partitions of which the group's offset has had its time."""
    pending = state.pending(group.group_id)
    expired = []
    for partition, entry in state.entries(group.group_id).items():
        if partition in pending or group.subscribes_to(partition.topic):
            continue
        since = group.unused_since(entry.committed_at)
        if since is None:
            continue
        until = since + retention_ms if entry.expires_at is None else entry.expires_at
        if until <= now:
            expired.append(partition)
    return expired
