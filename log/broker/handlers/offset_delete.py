"""OffsetDelete (47), version 0: forget a group's offsets of single topics (KIP-496).

Those of topics that its members read are kept: GROUP_SUBSCRIBED_TO_TOPIC.
"""

from ...model import TopicPartition
from ...wire.error_codes import ErrorCode
from ...wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)
from ..node import Caller, Node
from ..waits import Handling


def offset_delete(
    node: Node, request: OffsetDeleteRequest, caller: Caller
) -> Handling[OffsetDeleteResponse]:
    """Forget what nobody uses; the answer comes when that is on disk."""
    del caller
    if not request.group_id:
        return OffsetDeleteResponse(error_code=ErrorCode.INVALID_GROUP_ID, topics=[])
    group = node.groups.get(request.group_id)
    error = ErrorCode.GROUP_ID_NOT_FOUND if group is None else group.check_delete_offsets()
    if group is None or error is not ErrorCode.NONE:
        return OffsetDeleteResponse(error_code=error, topics=[])
    asked = [
        TopicPartition(topic.name, each.partition_index)
        for topic in request.topics
        for each in topic.partitions
    ]
    errors = {}
    for partition in asked:
        errors[partition] = ErrorCode.NONE
        if partition not in node.broker.partitions:
            errors[partition] = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        elif group.subscribes_to(partition.topic):
            errors[partition] = ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
    kept = {key.partition for key in node.offsets.state_of(request.group_id).keys(request.group_id)}
    forgotten = [each for each in kept if errors.get(each) is ErrorCode.NONE]
    if forgotten:
        yield [node.offsets.remove(request.group_id, forgotten, node.now())]
    return OffsetDeleteResponse(
        topics=[
            OffsetDeleteResponseTopic(
                name=topic.name,
                partitions=[
                    OffsetDeleteResponsePartition(
                        partition_index=each.partition_index,
                        error_code=errors[TopicPartition(topic.name, each.partition_index)],
                    )
                    for each in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )
