"""OffsetFetch (9), versions 1–9: how far groups are.

A group that is not known, and a partition of which nothing is, has offset -1 and no error: so says
Kafka since 0.9, and clients begin where `auto.offset.reset` says. Since version 2 null topics ask for
everything, since 7 one may insist on offsets that no open transaction can change (KIP-447), since 8
several groups are asked for at once, and 9 says which member asks (KIP-848).

What is answered is on disk: commits that are on their way are waited for.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ...model import CommittedOffset, TopicPartition
from ...wire.error_codes import ErrorCode
from ...wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)
from ..node import Caller, Node
from ..waits import Handling

SEVERAL_GROUPS_SINCE = 8
NOTHING = CommittedOffset(-1)


class Found(NamedTuple):
    """What is known of one partition."""

    partition: int
    committed: CommittedOffset
    error: ErrorCode


def offset_fetch(
    node: Node, request: OffsetFetchRequest, caller: Caller
) -> Handling[OffsetFetchResponse]:
    """Answer for each group."""
    if caller.version < SEVERAL_GROUPS_SINCE:
        asked = _in_new_form(request)
        error, found = _find(node, asked, request.require_stable)
        yield from node.offsets.settled(asked.group_id)
        return OffsetFetchResponse(topics=_old_topics(found), error_code=error)
    answers = [(asked, *_find(node, asked, request.require_stable)) for asked in request.groups]
    for asked in request.groups:
        yield from node.offsets.settled(asked.group_id)
    return OffsetFetchResponse(
        groups=[
            OffsetFetchResponseGroup(
                group_id=asked.group_id, topics=_topics(found), error_code=error
            )
            for asked, error, found in answers
        ]
    )


def _find(
    node: Node, asked: OffsetFetchRequestGroup, require_stable: bool
) -> tuple[ErrorCode, dict[str, list[Found]]]:
    group = node.groups.get(asked.group_id)
    if group is not None:
        error = group.check_fetch(asked.member_id, asked.member_epoch)
        if error is not ErrorCode.NONE:
            return error, {}
    state = node.offsets.state_of(asked.group_id)
    partitions: Iterable[TopicPartition] = state.entries(asked.group_id)
    if asked.topics is not None:
        partitions = [
            TopicPartition(topic.name, index)
            for topic in asked.topics
            for index in topic.partition_indexes
        ]
    unstable = state.pending(asked.group_id) if require_stable else {}
    committed = state.committed(asked.group_id)
    found: dict[str, list[Found]] = {}
    for partition in partitions:
        one = Found(partition.partition, committed.get(partition, NOTHING), ErrorCode.NONE)
        if partition in unstable:
            one = Found(partition.partition, NOTHING, ErrorCode.UNSTABLE_OFFSET_COMMIT)
        found.setdefault(partition.topic, []).append(one)
    return ErrorCode.NONE, found


def _in_new_form(request: OffsetFetchRequest) -> OffsetFetchRequestGroup:
    topics = None
    if request.topics is not None:
        topics = [
            OffsetFetchRequestTopics(name=topic.name, partition_indexes=topic.partition_indexes)
            for topic in request.topics
        ]
    return OffsetFetchRequestGroup(group_id=request.group_id, topics=topics)


def _old_topics(found: Mapping[str, Iterable[Found]]) -> list[OffsetFetchResponseTopic]:
    return [
        OffsetFetchResponseTopic(
            name=name,
            partitions=[
                OffsetFetchResponsePartition(
                    partition_index=each.partition,
                    committed_offset=each.committed.offset,
                    committed_leader_epoch=each.committed.leader_epoch,
                    metadata=each.committed.metadata,
                    error_code=each.error,
                )
                for each in partitions
            ],
        )
        for name, partitions in found.items()
    ]


def _topics(found: Mapping[str, Iterable[Found]]) -> list[OffsetFetchResponseTopics]:
    return [
        OffsetFetchResponseTopics(
            name=name,
            partitions=[
                OffsetFetchResponsePartitions(
                    partition_index=each.partition,
                    committed_offset=each.committed.offset,
                    committed_leader_epoch=each.committed.leader_epoch,
                    metadata=each.committed.metadata,
                    error_code=each.error,
                )
                for each in partitions
            ],
        )
        for name, partitions in found.items()
    ]
