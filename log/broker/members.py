"""The group coordinator: all groups of this broker, and how what they decide becomes durable.

A group decides (`coordinator/classic_group.py`, `coordinator/consumer_group.py`) and yields records;
here they are appended to the partition that keeps the group, and waited for. Handlers do

    group = node.groups.get(group_id)
    answer = yield from node.groups.carry_out(group, group.leave(…))

so that what a group answers stands on disk first. Time passes for all groups in one place: a heap of
when each must be looked at again, into which a group is put anew only when it is due, so that the
heartbeats of members, which merely put deadlines off, cost nothing here.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import UUID

from ..coordinator.classic_group import ClassicGroup
from ..coordinator.consumer_group import ConsumerGroup, ConsumerGroupLimits
from ..coordinator.group import Changes, CommitAs, Group, Instant
from ..coordinator.group_table import GroupTable
from ..errors import GroupActive, RecordTooLarge
from ..model import NewRecord, Timestamp
from ..storage.partition_log import PartitionLog
from ..wire.error_codes import ErrorCode
from .groups import Groups
from .steps import Steps
from .waits import Handling

if TYPE_CHECKING:
    from .node import Node

T = TypeVar("T")

GROUP_NOT_FOUND_SINCE: Final = 9
"""The first version of OffsetCommit whose clients understand GROUP_ID_NOT_FOUND (KIP-848)."""


class GroupCoordinator:
    """All groups.

    Args:
        offsets: what groups have committed, and where their records go.
        groups: the groups as their records say.
        new_id: makes an id that nothing has had before.
    """

    def __init__(self, offsets: Groups, groups: GroupTable, new_id: Callable[[], UUID]) -> None:
        self._offsets = offsets
        self._groups = groups
        self._new_id = new_id
        self.consumer_group_limits = ConsumerGroupLimits()
        self._due: list[tuple[int, str]] = []
        self._due_of: dict[str, int] = {}

    def get(self, group_id: str) -> Group | None:
        """Return a group that exists; one that has offsets only is a classic one without members."""
        group = self._groups.get(group_id)
        if group is None and self._offsets.has(group_id):
            group = self._groups[group_id] = ClassicGroup(group_id)
        return group

    def put(self, group: Group) -> None:
        """Let a group exist; it takes the place of an empty one of the other kind."""
        self._groups[group.group_id] = group
        self._watch(group)

    def remove(self, group: Group, now: Timestamp) -> PartitionLog:
        """Let an empty group exist no longer; return the log that has to be synced."""
        assert group.is_empty, group
        self._groups.pop(group.group_id, None)
        return self.append(group.group_id, group.tombstones(now), now)

    def delete(self, group: Group, now: Timestamp) -> PartitionLog:
        """Forget a group and its offsets; return the log that has to be synced."""
        self._groups.pop(group.group_id, None)
        keys = self._offsets.state_of(group.group_id).keys(group.group_id)
        partitions = [key.partition for key in keys]
        tombstones = group.tombstones(now)
        return self._offsets.remove(group.group_id, partitions, now, and_then=tombstones)

    def forget(self, group_ids: Iterable[str], now: Timestamp) -> Steps[None]:
        """Forget groups while no broker serves them, and with them what members it has left behind.

        Raises:
            GroupActive: such members use KIP-848. They go once a broker has missed them for long enough.
        """
        found = [group for each in dict.fromkeys(group_ids) if (group := self.get(each))]
        for group in found:
            if isinstance(group, ConsumerGroup) and not group.is_empty:
                raise GroupActive(f"group {group.group_id!r} has members")
        if found:
            yield {self.delete(group, now) for group in found}

    def names(self) -> list[str]:
        """Return the ids of all groups, sorted."""
        return sorted({*self._groups, *self._offsets.groups()})

    def __iter__(self) -> Iterator[Group]:
        """Go through all groups, in the order of their ids."""
        return (group for name in self.names() if (group := self.get(name)) is not None)

    def check_commit(self, group_id: str, who: CommitAs, version: int) -> ErrorCode:
        """Say whether one may commit offsets of a group, with a version of OffsetCommit.

        Who is no member may commit for a group that does not exist: it exists from then on.
        """
        group = self.get(group_id)
        if group is not None:
            return group.check_commit(who, version)
        if who.generation < 0:
            return ErrorCode.NONE
        if version >= GROUP_NOT_FOUND_SINCE and not who.transactional:
            return ErrorCode.GROUP_ID_NOT_FOUND
        return ErrorCode.ILLEGAL_GENERATION

    def new_member_id(self, prefix: str) -> str:
        """Make the id of a new member of a classic group."""
        return f"{prefix}-{self._new_id()}"

    def append(self, group_id: str, records: Sequence[NewRecord], now: Timestamp) -> PartitionLog:
        """Append records of a group; return the log that has to be synced."""
        return self._offsets.append(group_id, records, now)

    def carry_out(self, group: Group, changes: Changes[T], now: Timestamp) -> Steps[T]:
        """Go through a group's changes; what they yield is durable before they go on.

        Records that are too large are thrown back to the group as RecordTooLarge.
        """
        refused: RecordTooLarge | None = None
        try:
            while True:
                records = next(changes) if refused is None else changes.throw(refused)
                refused = None
                self._watch(group)
                if records:
                    try:
                        log = self.append(group.group_id, records, now)
                    except RecordTooLarge as error:
                        refused = error
                    else:
                        yield [log]
        except StopIteration as done:
            result: T = done.value
            self._watch(group)
            return result

    # -- time ----------------------------------------------------------------------------------

    def resume(self, now: Instant, limits: ConsumerGroupLimits) -> None:
        """Go on after a restart."""
        self.consumer_group_limits = limits
        for group in self._groups.values():
            if isinstance(group, ConsumerGroup):
                group.limits = limits
            group.resume(now)
            self._watch(group)

    def next_due_ms(self) -> int | None:
        """Return when a group must be looked at."""
        return self._due[0][0] if self._due else None

    def on_time(self, node: "Node") -> Handling[None]:
        """Let time pass for all groups that are due."""
        now = node.instant()
        begun = []
        touched = []
        for group in self._take_due(now.elapsed_ms):
            changes = group.on_time(now)
            for records in changes:
                if records:
                    touched.append(self.append(group.group_id, records, now.timestamp))
                    begun.append((group, changes))
                    break
            self._watch(group)
        if touched:
            yield set(touched)
        for group, changes in begun:
            yield from self.carry_out(group, changes, now.timestamp)

    def _take_due(self, elapsed_ms: int) -> Iterable[Group]:
        while self._due and self._due[0][0] <= elapsed_ms:
            due_ms, group_id = heapq.heappop(self._due)
            if self._due_of.get(group_id) == due_ms:
                del self._due_of[group_id]
                group = self._groups.get(group_id)
                if group is not None:
                    yield group

    def _watch(self, group: Group) -> None:
        """See to it that the group is looked at when it says."""
        due_ms = group.next_due_ms
        if due_ms is None or self._groups.get(group.group_id) is not group:
            return
        known = self._due_of.get(group.group_id)
        if known is None or due_ms < known:
            self._due_of[group.group_id] = due_ms
            heapq.heappush(self._due, (due_ms, group.group_id))
