"""DescribeProducers, version 0: who is writing to a partition, and since where a transaction is open.

Source: KIP-664.
"""

from ...config import check_topic_name
from ...errors import ConfigError, UnknownTopic
from ...model import TopicPartition
from ...storage.producer_state import NONE
from ...wire.error_codes import ErrorCode
from ...wire.messages.describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    PartitionResponse,
    ProducerState,
    TopicResponse,
)
from ..node import Caller, Node


def describe_producers(
    node: Node, request: DescribeProducersRequest, caller: Caller
) -> DescribeProducersResponse:
    """Tell what the partitions remember of their producers."""
    del caller
    return DescribeProducersResponse(
        topics=[
            TopicResponse(
                name=topic.name,
                partitions=[
                    _described(node, TopicPartition(topic.name, number))
                    for number in topic.partition_indexes
                ],
            )
            for topic in request.topics
        ]
    )


def _described(node: Node, partition: TopicPartition) -> PartitionResponse:
    try:
        check_topic_name(partition.topic)
        log = node.broker.partition(partition)
    except ConfigError as error:
        return _refused(partition, ErrorCode.INVALID_TOPIC_EXCEPTION, error)
    except UnknownTopic as error:
        return _refused(partition, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, error)
    return PartitionResponse(
        partition_index=partition.partition,
        active_producers=[
            ProducerState(
                producer_id=one.producer_id,
                producer_epoch=one.producer_epoch,
                last_sequence=one.last_sequence,
                last_timestamp=one.last_timestamp,
                coordinator_epoch=one.coordinator_epoch,
                current_txn_start_offset=(
                    NONE if one.transaction_start is None else one.transaction_start
                ),
            )
            for one in log.producers
        ],
    )


def _refused(partition: TopicPartition, code: ErrorCode, error: Exception) -> PartitionResponse:
    return PartitionResponse(
        partition_index=partition.partition,
        error_code=code,
        error_message=str(error),
        active_producers=[],
    )
