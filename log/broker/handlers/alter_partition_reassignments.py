"""AlterPartitionReassignments, versions 0 and 1: nothing can move, for there is nowhere to go.

To stay here is accepted; any other broker is refused as one that does not exist; and to take back a
move (null) finds that there is none. Kafka's answers with one broker are the same.

Source: KIP-455.
"""

from ...wire.error_codes import ErrorCode
from ...wire.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ReassignablePartition,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
)
from ..node import Caller, Node
from .refusal import Refusal
from .replicas import check_replicas


def alter_partition_reassignments(
    node: Node, request: AlterPartitionReassignmentsRequest, caller: Caller
) -> AlterPartitionReassignmentsResponse:
    """Say of each partition why it stays where it is."""
    del caller
    return AlterPartitionReassignmentsResponse(
        allow_replication_factor_change=request.allow_replication_factor_change,
        responses=[
            ReassignableTopicResponse(
                name=topic.name,
                partitions=[_result(node, topic.name, each) for each in topic.partitions],
            )
            for topic in request.topics
        ],
    )


def _result(node: Node, name: str, asked: ReassignablePartition) -> ReassignablePartitionResponse:
    number = asked.partition_index
    try:
        _check(node, name, asked)
    except Refusal as refusal:
        return ReassignablePartitionResponse(
            partition_index=number, error_code=refusal.code, error_message=refusal.message
        )
    return ReassignablePartitionResponse(partition_index=number)


def _check(node: Node, name: str, asked: ReassignablePartition) -> None:
    topic = node.broker.metadata.topics.get(name)
    if topic is None:
        raise Refusal(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"Unable to find a topic named {name}.")
    if asked.partition_index not in topic:
        raise Refusal(
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
            f"Unable to find partition {name}:{asked.partition_index}.",
        )
    if asked.replicas is None:
        raise Refusal(ErrorCode.NO_REASSIGNMENT_IN_PROGRESS)
    check_replicas(node, asked.replicas)
