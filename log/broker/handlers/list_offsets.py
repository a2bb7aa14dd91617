"""ListOffsets, versions 1 to 10."""

from ...errors import LogError
from ...model import Isolation, TopicPartition
from ...wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from ..node import Caller, Node
from .failures import error_code

_LATEST, _EARLIEST = -1, -2


def list_offsets(node: Node, request: ListOffsetsRequest, caller: Caller) -> ListOffsetsResponse:
    """Look up one offset in each partition."""
    del caller
    return ListOffsetsResponse(
        topics=[
            ListOffsetsTopicResponse(
                name=topic.name,
                partitions=[_found(node, request, topic.name, one) for one in topic.partitions],
            )
            for topic in request.topics
        ]
    )


def _found(
    node: Node, request: ListOffsetsRequest, topic: str, asked: ListOffsetsPartition
) -> ListOffsetsPartitionResponse:
    index = asked.partition_index
    try:
        log = node.broker.partition(TopicPartition(topic, index))
        if asked.timestamp == _LATEST:
            offset: int | None = log.end_for(Isolation(request.isolation_level))
        elif asked.timestamp == _EARLIEST:
            offset = log.log_start_offset
        else:
            offset = log.offset_for_time(asked.timestamp)
    except LogError as error:
        return ListOffsetsPartitionResponse(partition_index=index, error_code=error_code(error))
    return ListOffsetsPartitionResponse(
        partition_index=index,
        offset=-1 if offset is None else offset,
        leader_epoch=log.leader_epoch,
    )
