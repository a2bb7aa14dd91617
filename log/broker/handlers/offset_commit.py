"""OffsetCommit (8), versions 2–9: a group says how far it is.

A member names its generation, or with KIP-848 its member epoch; somebody who is no member, such as a
consumer that assigns itself, gives a generation of -1 and may commit while the group has no members.
Versions 2–4 may say how long the offsets are to be kept; 6 brought the leader epoch of what was
read, 7 static members, 9 the errors of KIP-848. Partitions are answered one by one. The answer comes
when the offsets are on disk.
"""

from ...coordinator.classic_group import ClassicGroup
from ...coordinator.classic_states import PREPARING, STABLE
from ...coordinator.group import CommitAs
from ...coordinator.offsets import is_too_large
from ...model import CommittedOffset, TopicPartition
from ...wire.error_codes import ErrorCode
from ...wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from ..node import Caller, Node
from ..waits import Handling


def offset_commit(
    node: Node, request: OffsetCommitRequest, caller: Caller
) -> Handling[OffsetCommitResponse]:
    """Commit what can be committed."""
    who = CommitAs(
        request.member_id, request.group_instance_id, request.generation_id_or_member_epoch
    )
    group_error = node.groups.check_commit(request.group_id, who, caller.version)
    errors: dict[TopicPartition, ErrorCode] = {}
    offsets: dict[TopicPartition, CommittedOffset] = {}
    for topic in request.topics:
        for asked in topic.partitions:
            partition = TopicPartition(topic.name, asked.partition_index)
            metadata = asked.committed_metadata or ""
            errors[partition] = group_error
            if partition not in node.broker.partitions:
                errors[partition] = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            elif is_too_large(metadata, node.settings.offset_metadata_max_bytes):
                errors[partition] = ErrorCode.OFFSET_METADATA_TOO_LARGE
            elif group_error is ErrorCode.NONE:
                offsets[partition] = CommittedOffset(
                    asked.committed_offset, asked.committed_leader_epoch, metadata
                )
    if group_error is ErrorCode.NONE:
        _keep_alive(node, request)
    if offsets:
        now = node.now()
        expires_at = now + request.retention_time_ms if request.retention_time_ms >= 0 else None
        yield [node.offsets.append_commit(request.group_id, offsets, now, expires_at)]
    return OffsetCommitResponse(
        topics=[
            OffsetCommitResponseTopic(
                name=topic.name,
                partitions=[
                    OffsetCommitResponsePartition(
                        partition_index=asked.partition_index,
                        error_code=errors[TopicPartition(topic.name, asked.partition_index)],
                    )
                    for asked in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )


def _keep_alive(node: Node, request: OffsetCommitRequest) -> None:
    """Take a commit for a sign of life, as of members that have been busy since their last one."""
    group = node.groups.get(request.group_id)
    if (
        isinstance(group, ClassicGroup)
        and group.state in (STABLE, PREPARING)
        and request.member_id in group.members
    ):
        group.keep_alive(request.member_id, node.instant())
