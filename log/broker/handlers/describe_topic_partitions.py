"""DescribeTopicPartitions, version 0: topics partition by partition, page by page (KIP-966).

- Topics come sorted by name; an empty list asks for all of them. A page ends after
  `response_partition_limit` partitions, 2000 at most, and says where the next one begins.
- The cursor's topic may be gone by now: then the page begins with the one behind it. Where topics are
  named, the cursor's must be among them.
- All replicas are in sync, so there are no eligible leaders besides.
"""

from collections.abc import Sequence
from typing import Final

from ...config import check_topic_name
from ...errors import ConfigError
from ...model import TopicPartition
from ...wire.error_codes import ErrorCode
from ...wire.messages.describe_topic_partitions import (
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
    ResponseCursor,
)
from ...wire.schema import NO_UUID
from ..metadata import Topic
from ..node import Caller, Node
from .authorized import NOT_ASKED, TOPIC_OPERATIONS

PARTITIONS_OF_PAGE_MAX: Final = 2000
"""Kafka's `max.request.partition.size.limit`."""


def describe_topic_partitions(
    node: Node, request: DescribeTopicPartitionsRequest, caller: Caller
) -> DescribeTopicPartitionsResponse:
    """Describe one page of partitions."""
    del caller
    known = node.broker.metadata.topics
    names = {topic.name for topic in request.topics}
    cursor = request.cursor
    first_name, first_number = "", 0
    if cursor is not None:
        first_name, first_number = cursor.topic_name, cursor.partition_index
        if first_number < 0 or (names and first_name not in names):
            return _refused(names)
    left = max(min(request.response_partition_limit, PARTITIONS_OF_PAGE_MAX), 1)
    described = []
    for name in sorted(name for name in names or known if name >= first_name):
        topic = known.get(name)
        if topic is None:
            described.append(_unknown(name))
            continue
        if not left:
            return _page(described, ResponseCursor(topic_name=name, partition_index=0))
        start = first_number if name == first_name else 0
        numbers = range(topic.partitions)[start : start + left]
        described.append(_described(node, topic, numbers))
        left -= len(numbers)
        if numbers and numbers[-1] + 1 < topic.partitions:
            following = ResponseCursor(topic_name=name, partition_index=numbers[-1] + 1)
            return _page(described, following)
    return _page(described, None)


def _page(
    topics: list[DescribeTopicPartitionsResponseTopic], following: ResponseCursor | None
) -> DescribeTopicPartitionsResponse:
    return DescribeTopicPartitionsResponse(topics=topics, next_cursor=following)


def _described(
    node: Node, topic: Topic, numbers: Sequence[int]
) -> DescribeTopicPartitionsResponseTopic:
    here = [node.settings.node_id]
    return DescribeTopicPartitionsResponseTopic(
        name=topic.name,
        topic_id=topic.topic_id,
        is_internal=topic.internal,
        partitions=[
            DescribeTopicPartitionsResponsePartition(
                partition_index=number,
                leader_id=node.settings.node_id,
                leader_epoch=node.broker.partition(TopicPartition(topic.name, number)).leader_epoch,
                replica_nodes=here,
                isr_nodes=here,
                eligible_leader_replicas=[],
                last_known_elr=[],
                offline_replicas=[],
            )
            for number in numbers
        ],
        topic_authorized_operations=TOPIC_OPERATIONS,
    )


def _unknown(name: str) -> DescribeTopicPartitionsResponseTopic:
    code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    try:
        check_topic_name(name)
    except ConfigError:
        code = ErrorCode.INVALID_TOPIC_EXCEPTION
    return DescribeTopicPartitionsResponseTopic(
        error_code=code,
        name=name,
        topic_id=NO_UUID,
        partitions=[],
        topic_authorized_operations=TOPIC_OPERATIONS,
    )


def _refused(names: set[str]) -> DescribeTopicPartitionsResponse:
    """Answer a cursor that fits no request: with an error for each topic, as there is no other place."""
    return _page(
        [
            DescribeTopicPartitionsResponseTopic(
                error_code=ErrorCode.INVALID_REQUEST,
                name=name,
                topic_id=NO_UUID,
                partitions=[],
                topic_authorized_operations=NOT_ASKED,
            )
            for name in sorted(names)
        ],
        None,
    )
