"""What the records of a consumer group add up to: epochs, members, and who has which partition.

Nothing here decides. A change is applied in the same way when it is made and when it is replayed;
replay tolerates records whose forerunners compaction has removed.
"""

from collections import Counter
from dataclasses import replace
from typing import TypeVar, assert_never

from .assignors import ASSIGNORS, Partitions, TopicIdPartition
from .consumer_group_changes import (
    Change,
    CurrentSet,
    GroupEpochSet,
    PatternSet,
    ResolvedPattern,
    SubscriptionSet,
    TargetEpochSet,
    TargetSet,
)
from .consumer_group_member import NO_PARTITIONS, CurrentAssignment, Member, Subscription

T = TypeVar("T")


class ConsumerGroupState:
    """One group. Reading is free; change it by `apply`."""

    def __init__(self) -> None:
        self.group_epoch = 0
        self.metadata_hash = 0
        self.assignment_epoch = 0
        self.members: dict[str, Member] = {}
        self.targets: dict[str, Partitions] = {}
        self.patterns: dict[str, ResolvedPattern] = {}
        self._static: dict[str, str] = {}
        self._holders: dict[TopicIdPartition, str] = {}

    @property
    def name(self) -> str:
        """Return the name of the group's state, as Kafka's tools show it."""
        if not self.members:
            return "Empty"
        if self.group_epoch > self.assignment_epoch:
            return "Assigning"
        for member in self.members.values():
            if not member.current.is_settled_in(self.assignment_epoch):
                return "Reconciling"
        return "Stable"

    @property
    def assignor(self) -> str:
        """Return the assignor that most members name; the first one, if nobody names any."""
        votes = Counter(member.subscription.server_assignor for member in self.members.values())
        return max(ASSIGNORS, key=lambda name: votes[name])

    def static_member(self, instance_id: str) -> Member | None:
        """Return the member that has this instance id."""
        member_id = self._static.get(instance_id)
        return None if member_id is None else self.members[member_id]

    def target_of(self, member_id: str) -> Partitions:
        """Return what a member is to have."""
        return self.targets.get(member_id, NO_PARTITIONS)

    def topics_of(self, subscription: Subscription) -> frozenset[str]:
        """Return the names of all topics that are subscribed to, whether they exist or not."""
        pattern = self.patterns.get(subscription.topic_regex)
        return (
            pattern.topics.union(subscription.topic_names)
            if pattern
            else frozenset(subscription.topic_names)
        )

    def is_free_for(self, member_id: str, partition: TopicIdPartition) -> bool:
        """Say whether no other member has a partition, or has yet to say that it gave it up."""
        return self._holders.get(partition, member_id) == member_id

    def uses_pattern(self, pattern: str) -> bool:
        """Say whether a member subscribes by this regular expression."""
        return any(each.subscription.topic_regex == pattern for each in self.members.values())

    def apply(self, change: Change) -> None:
        """Take in one change."""
        match change:
            case GroupEpochSet(to):
                self.group_epoch, self.metadata_hash = to or (0, 0)
            case TargetEpochSet(to):
                self.assignment_epoch = to or 0
            case SubscriptionSet(member_id, to):
                self._subscribe(member_id, to)
            case TargetSet(member_id, to):
                _put(self.targets, member_id, to)
            case CurrentSet(member_id, to):
                self._give(member_id, to)
            case PatternSet(pattern, to):
                _put(self.patterns, pattern, to)
            case _:
                assert_never(change)

    def _subscribe(self, member_id: str, subscription: Subscription | None) -> None:
        known = self.members.get(member_id)
        if known is not None:
            instance_id = known.subscription.instance_id
            if instance_id is not None and self._static.get(instance_id) == member_id:
                del self._static[instance_id]
        if subscription is None:
            if known is not None:
                self._release(known)
                del self.members[member_id]
            return
        self.members[member_id] = replace(known or Member(member_id), subscription=subscription)
        if subscription.instance_id is not None:
            self._static[subscription.instance_id] = member_id

    def _give(self, member_id: str, current: CurrentAssignment | None) -> None:
        known = self.members.get(member_id)
        if known is not None:
            self._release(known)
        elif current is None:
            return
        current = current or CurrentAssignment()
        self.members[member_id] = replace(known or Member(member_id), current=current)
        for partition in current.at_work:
            self._holders[partition] = member_id

    def _release(self, member: Member) -> None:
        for partition in member.current.at_work:
            if self._holders.get(partition) == member.member_id:
                del self._holders[partition]


def _put(table: dict[str, T], key: str, value: T | None) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
