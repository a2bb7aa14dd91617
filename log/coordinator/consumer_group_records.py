"""What a coordinator writes of a consumer group (KIP-848): Kafka's records, one for each change.

| number | key | value |
|---|---|---|
| 3 | group | group epoch, hash of the subscribed topics |
| 5 | group, member | subscription |
| 6 | group | epoch of the target assignment |
| 7 | group, member | the partitions it is to have |
| 8 | group, member | the partitions it has, and in which epoch |
| 16 | group, regular expression | the topics it means |

A tombstone takes back what the key names. Number 4, topics and their sizes, is what Kafka wrote
before 4.1 in place of the hash: it is passed over, and only causes an assignment anew.

Source: the definitions of Kafka 4.1's group coordinator; KIP-848, KIP-1101 (the hash).
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Annotated, Final, TypeVar
from uuid import UUID

from ..errors import LogError
from ..model import NewRecord, Timestamp
from ..wire.schema import Int8, Int32, Int64, Message, String, Tagged, Uuid
from .assignors import Partitions, TopicIdPartition
from .consumer_group_changes import (
    Change,
    CurrentSet,
    GroupEpoch,
    GroupEpochSet,
    PatternSet,
    ResolvedPattern,
    SubscriptionSet,
    TargetEpochSet,
    TargetSet,
)
from .consumer_group_member import CurrentAssignment, MemberState, Subscription
from .group_records import decode_body, encode_versioned, version_of

MessageT = TypeVar("MessageT", bound=Message)

GROUP_EPOCH: Final = 3
SUBSCRIPTION: Final = 5
TARGET_EPOCH: Final = 6
TARGET: Final = 7
CURRENT: Final = 8
PATTERN: Final = 16
KINDS: Final = (GROUP_EPOCH, SUBSCRIPTION, TARGET_EPOCH, TARGET, CURRENT, PATTERN)
"""The numbers of the kinds of records that are read here."""

_VALUE_VERSION: Final = 0


class GroupKey(Message):
    """Of numbers 3 and 6."""

    group_id: String


class MemberKey(Message):
    """Of numbers 5, 7 and 8."""

    group_id: String
    member_id: String


class RegularExpressionKey(Message):
    """Of number 16."""

    group_id: String
    regular_expression: String


class ConsumerGroupMetadataValue(Message):
    """The group's epoch."""

    epoch: Int32
    metadata_hash: Annotated[Int64, Tagged(0)] = 0


class ConsumerGroupMemberMetadataValue(Message):
    """What a member wants.

    Kafka adds a tagged field for members that speak the classic protocol; it is passed over.
    """

    instance_id: String | None
    rack_id: String | None
    client_id: String
    client_host: String
    subscribed_topic_names: list[String]
    subscribed_topic_regex: String | None
    rebalance_timeout_ms: Int32 = -1
    server_assignor: String | None


class ConsumerGroupTargetAssignmentMetadataValue(Message):
    """For which group epoch the target assignment was made."""

    assignment_epoch: Int32


class TopicPartitions(Message):
    """Partitions of a topic."""

    topic_id: Uuid
    partitions: list[Int32]


class ConsumerGroupTargetAssignmentMemberValue(Message):
    """What a member is to have."""

    topic_partitions: list[TopicPartitions]


class ConsumerGroupCurrentMemberAssignmentValue(Message):
    """What a member has."""

    member_epoch: Int32
    previous_member_epoch: Int32
    state: Int8
    assigned_partitions: list[TopicPartitions]
    partitions_pending_revocation: list[TopicPartitions]


class ConsumerGroupRegularExpressionValue(Message):
    """What a regular expression means."""

    topics: list[String]
    version: Int64
    timestamp: Int64


# -- writing --------------------------------------------------------------------------------------


def encode_change(group_id: str, change: Change, now: Timestamp) -> NewRecord:
    """Make the record of a change."""
    kind, key = _key(group_id, change)
    value = None
    if change.to is not None:
        message = _value(change, now)
        value = encode_versioned(message, _VALUE_VERSION, message_version=0, flexible=True)
    return NewRecord(encode_versioned(key, kind, message_version=0), value, now)


def _key(group_id: str, change: Change) -> tuple[int, Message]:
    match change:
        case GroupEpochSet():
            return GROUP_EPOCH, GroupKey(group_id=group_id)
        case TargetEpochSet():
            return TARGET_EPOCH, GroupKey(group_id=group_id)
        case SubscriptionSet(member_id):
            return SUBSCRIPTION, MemberKey(group_id=group_id, member_id=member_id)
        case TargetSet(member_id):
            return TARGET, MemberKey(group_id=group_id, member_id=member_id)
        case CurrentSet(member_id):
            return CURRENT, MemberKey(group_id=group_id, member_id=member_id)
        case PatternSet(pattern):
            return PATTERN, RegularExpressionKey(group_id=group_id, regular_expression=pattern)


def _value(change: Change, now: Timestamp) -> Message:
    match change:
        case GroupEpochSet(GroupEpoch(epoch, metadata_hash)):
            return ConsumerGroupMetadataValue(epoch=epoch, metadata_hash=metadata_hash)
        case TargetEpochSet(int(epoch)):
            return ConsumerGroupTargetAssignmentMetadataValue(assignment_epoch=epoch)
        case SubscriptionSet(_, Subscription() as wanted):
            return ConsumerGroupMemberMetadataValue(
                instance_id=wanted.instance_id,
                rack_id=wanted.rack_id,
                client_id=wanted.client_id,
                client_host=wanted.client_host,
                subscribed_topic_names=list(wanted.topic_names),
                subscribed_topic_regex=wanted.topic_regex,
                rebalance_timeout_ms=wanted.rebalance_timeout_ms,
                server_assignor=wanted.server_assignor,
            )
        case TargetSet(_, frozenset() as partitions):
            return ConsumerGroupTargetAssignmentMemberValue(topic_partitions=by_topic(partitions))
        case CurrentSet(_, CurrentAssignment() as current):
            return ConsumerGroupCurrentMemberAssignmentValue(
                member_epoch=current.member_epoch,
                previous_member_epoch=current.previous_member_epoch,
                state=current.state,
                assigned_partitions=by_topic(current.assigned),
                partitions_pending_revocation=by_topic(current.revoking),
            )
        case PatternSet(_, ResolvedPattern(topics, revision)):
            return ConsumerGroupRegularExpressionValue(
                topics=sorted(topics), version=revision, timestamp=now
            )
    raise AssertionError(f"{change} has no value")


def by_topic(partitions: Partitions) -> list[TopicPartitions]:
    """Gather partitions by their topics, in order."""
    found: dict[UUID, list[int]] = defaultdict(list)
    for topic_id, partition in partitions:
        found[topic_id].append(partition)
    return [
        TopicPartitions(topic_id=topic_id, partitions=sorted(found[topic_id]))
        for topic_id in sorted(found)
    ]


# -- reading --------------------------------------------------------------------------------------


def decode_change(key: bytes, value: bytes | None) -> tuple[str, Change]:
    """Read a record of one of KINDS: the group, and how it changed.

    Raises:
        LogError: its format is from the future.
    """
    kind = version_of(key)
    if value is not None and version_of(value) != _VALUE_VERSION:
        raise LogError(
            f"a record of kind {kind} of a consumer group has version {version_of(value)}; this "
            f"Millpond reads version {_VALUE_VERSION}"
        )
    match kind:
        case 3 | 6:
            return _decode_of_group(kind, key, value)
        case 16:
            return _decode_pattern(key, value)
        case _:
            return _decode_of_member(kind, key, value)


def _decode_of_group(kind: int, key: bytes, value: bytes | None) -> tuple[str, Change]:
    group_id = decode_body(GroupKey, key, version=0, flexible=False).group_id
    if kind == GROUP_EPOCH:
        epoch = _read(ConsumerGroupMetadataValue, value)
        return group_id, GroupEpochSet(
            None if epoch is None else GroupEpoch(epoch.epoch, epoch.metadata_hash)
        )
    target = _read(ConsumerGroupTargetAssignmentMetadataValue, value)
    return group_id, TargetEpochSet(None if target is None else target.assignment_epoch)


def _decode_of_member(kind: int, key: bytes, value: bytes | None) -> tuple[str, Change]:
    names = decode_body(MemberKey, key, version=0, flexible=False)
    change: Change
    if kind == SUBSCRIPTION:
        wanted = _read(ConsumerGroupMemberMetadataValue, value)
        change = SubscriptionSet(names.member_id, None if wanted is None else _subscription(wanted))
    elif kind == TARGET:
        target = _read(ConsumerGroupTargetAssignmentMemberValue, value)
        change = TargetSet(
            names.member_id, None if target is None else partitions_of(target.topic_partitions)
        )
    else:
        current = _read(ConsumerGroupCurrentMemberAssignmentValue, value)
        change = CurrentSet(names.member_id, None if current is None else _current(current))
    return names.group_id, change


def _decode_pattern(key: bytes, value: bytes | None) -> tuple[str, Change]:
    names = decode_body(RegularExpressionKey, key, version=0, flexible=False)
    read = _read(ConsumerGroupRegularExpressionValue, value)
    resolved = None if read is None else ResolvedPattern(frozenset(read.topics), read.version)
    return names.group_id, PatternSet(names.regular_expression, resolved)


def _read(message: type[MessageT], value: bytes | None) -> MessageT | None:
    return None if value is None else decode_body(message, value, version=0, flexible=True)


def _subscription(read: ConsumerGroupMemberMetadataValue) -> Subscription:
    return Subscription(
        instance_id=read.instance_id,
        rack_id=read.rack_id,
        client_id=read.client_id,
        client_host=read.client_host,
        topic_names=tuple(read.subscribed_topic_names),
        topic_regex=read.subscribed_topic_regex or "",
        rebalance_timeout_ms=read.rebalance_timeout_ms,
        server_assignor=read.server_assignor,
    )


def _current(read: ConsumerGroupCurrentMemberAssignmentValue) -> CurrentAssignment:
    return CurrentAssignment(
        member_epoch=read.member_epoch,
        previous_member_epoch=read.previous_member_epoch,
        state=_state(read.state),
        assigned=partitions_of(read.assigned_partitions),
        revoking=partitions_of(read.partitions_pending_revocation),
    )


def _state(number: int) -> MemberState:
    try:
        return MemberState(number)
    except ValueError:
        known = ", ".join(f"{state.value} {state.name}" for state in MemberState)
        raise LogError(
            f"a member of a consumer group is in state {number}; this Millpond knows {known}"
        ) from None


def partitions_of(topics: Iterable[TopicPartitions]) -> Partitions:
    """Undo `by_topic`."""
    return frozenset(
        TopicIdPartition(topic.topic_id, partition)
        for topic in topics
        for partition in topic.partitions
    )
