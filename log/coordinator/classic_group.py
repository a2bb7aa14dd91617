"""A group of the classic protocol: its members make the assignment, the coordinator keeps order.

STATES is the whole life of a group.
"""

import enum
from collections.abc import Mapping
from typing import Final

from ..model import NewRecord, Timestamp
from ..wire.error_codes import ErrorCode
from .group import Changes, CommitAs, Group, GroupKind, Instant
from .group_records import GroupMetadataValue, decode_group, encode_group


class GroupState(enum.Enum):
    """How far a group is, by the names that Kafka's tools show."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


MAY_FOLLOW: Final[Mapping[GroupState, frozenset[GroupState]]] = {
    GroupState.EMPTY: frozenset({GroupState.PREPARING_REBALANCE, GroupState.DEAD}),
    GroupState.PREPARING_REBALANCE: frozenset(
        {GroupState.COMPLETING_REBALANCE, GroupState.EMPTY, GroupState.DEAD}
    ),
    GroupState.COMPLETING_REBALANCE: frozenset(
        {GroupState.STABLE, GroupState.PREPARING_REBALANCE, GroupState.DEAD}
    ),
    GroupState.STABLE: frozenset({GroupState.PREPARING_REBALANCE, GroupState.DEAD}),
    GroupState.DEAD: frozenset(),
}


class ClassicGroup:
    """One group."""

    kind: Final = GroupKind.CLASSIC

    def __init__(self, group_id: str) -> None:
        self.group_id: Final = group_id
        self.protocol_type = ""
        self.state = GroupState.EMPTY
        self.next_due_ms: int | None = None

    @property
    def state_name(self) -> str:
        return self.state.value

    @property
    def is_empty(self) -> bool:
        return self.state is GroupState.EMPTY

    def on_time(self, now: Instant) -> Changes[None]:
        """Do what is due."""
        yield from ()

    def resume(self, now: Instant) -> None:
        """Go on after a restart."""

    def check_commit(self, who: CommitAs, version: int) -> ErrorCode:
        """Say whether one may commit."""
        return ErrorCode.NONE

    def check_fetch(self, member_id: str | None, member_epoch: int) -> ErrorCode:
        """Say whether one may read offsets: anybody, with this protocol."""
        return ErrorCode.NONE

    def check_delete_offsets(self) -> ErrorCode:
        """Say whether offsets may be deleted."""
        return ErrorCode.NONE

    def subscribes_to(self, topic: str) -> bool:
        """Say whether members read this topic."""
        return False

    def unused_since(self, committed: Timestamp) -> Timestamp | None:
        """Return since when an offset is unused."""
        return committed

    def tombstones(self, now: Timestamp) -> list[NewRecord]:
        """Return the record that removes the group."""
        return [encode_group(self.group_id, None, now)]

    @classmethod
    def restored(cls, group_id: str, value: GroupMetadataValue) -> "ClassicGroup":
        """Make a group of what was written of it."""
        group = cls(group_id)
        group.protocol_type = value.protocol_type
        return group


def replay_classic_group(groups: dict[str, Group], key: bytes, value: bytes | None) -> None:
    """Take in a record of a classic group."""
    group_id, written = decode_group(key, value)
    if written is not None:
        groups[group_id] = ClassicGroup.restored(group_id, written)
    elif isinstance(groups.get(group_id), ClassicGroup):
        del groups[group_id]
