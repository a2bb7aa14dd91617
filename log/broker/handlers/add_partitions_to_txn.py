"""AddPartitionsToTxn, versions 0 to 3: a transaction is going to write to these partitions.

It begins the transaction if none is open. The answer comes when that is durable, so a restart of the
broker leaves the transaction open. All partitions are added or none: where one does not exist, the
others are OPERATION_NOT_ATTEMPTED. The broker's own topics are TOPIC_AUTHORIZATION_FAILED.

Versions 4 and 5 are for brokers among themselves. Clients of KIP-890's second part do not ask at all:
their Produce adds partitions.

A late duplicate, behind the transaction's end, begins an empty one, which ends by its timeout and
fences its owner: old clients keep their epoch, so it cannot be told from a request of now.

Source: KIP-98, KIP-588 (PRODUCER_FENCED, from version 2 on).
"""

from collections.abc import Mapping

from ...coordinator.transaction_state import Identity
from ...errors import ConcurrentTransaction, Fenced
from ...model import TopicPartition
from ...wire.error_codes import ErrorCode
from ...wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopicResult,
)
from ..node import Caller, Node
from ..waits import Handling
from .fencing import coordinator_code

_FENCED_SINCE = 2


def add_partitions_to_txn(
    node: Node, request: AddPartitionsToTxnRequest, caller: Caller
) -> Handling[AddPartitionsToTxnResponse]:
    """Add all of the partitions, or none."""
    partitions = {
        TopicPartition(topic.name, number)
        for topic in request.v3_and_below_topics
        for number in topic.partitions
    }
    unusable = {each: code for each in partitions if (code := _unusable(node, each)) is not None}
    if unusable:
        rest = dict.fromkeys(partitions, ErrorCode.OPERATION_NOT_ATTEMPTED)
        return _response(request, rest | unusable)
    code = ErrorCode.NONE
    if not request.v3_and_below_transactional_id:
        code = ErrorCode.INVALID_REQUEST
    else:
        try:
            yield from node.transactions.add_partitions(
                request.v3_and_below_transactional_id,
                Identity(request.v3_and_below_producer_id, request.v3_and_below_producer_epoch),
                partitions,
                node.now(),
            )
        except (ConcurrentTransaction, Fenced) as error:
            code = coordinator_code(error, caller, _FENCED_SINCE)
    return _response(request, dict.fromkeys(partitions, code))


def _unusable(node: Node, partition: TopicPartition) -> ErrorCode | None:
    topic = node.broker.metadata.topics.get(partition.topic)
    if topic is None or partition.partition not in topic:
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    return ErrorCode.TOPIC_AUTHORIZATION_FAILED if topic.internal else None


def _response(
    request: AddPartitionsToTxnRequest, codes: Mapping[TopicPartition, ErrorCode]
) -> AddPartitionsToTxnResponse:
    return AddPartitionsToTxnResponse(
        results_by_topic_v3_and_below=[
            AddPartitionsToTxnTopicResult(
                name=topic.name,
                results_by_partition=[
                    AddPartitionsToTxnPartitionResult(
                        partition_index=number,
                        partition_error_code=codes[TopicPartition(topic.name, number)],
                    )
                    for number in topic.partitions
                ],
            )
            for topic in request.v3_and_below_topics
        ]
    )
