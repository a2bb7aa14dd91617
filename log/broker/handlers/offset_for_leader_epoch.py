"""OffsetForLeaderEpoch, versions 2 to 4: where a leader epoch ends in a partition.

A client that has seen the leader change asks this of the epoch that it last read in, and learns whether
its position is still part of the log. Asked of an epoch without records the answer is the one before;
of one that this broker does not know, that nothing is known (-1).

Source: KIP-101, KIP-279, KIP-320.
"""

from ...errors import LogError
from ...model import TopicPartition
from ...wire.messages.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
)
from ..node import Caller, Node
from .checks import epoch_error
from .failures import error_code


def offset_for_leader_epoch(
    node: Node, request: OffsetForLeaderEpochRequest, caller: Caller
) -> OffsetForLeaderEpochResponse:
    """Look up the end of one epoch in each partition."""
    del caller
    return OffsetForLeaderEpochResponse(
        topics=[
            OffsetForLeaderTopicResult(
                topic=topic.topic,
                partitions=[_end_of(node, topic.topic, one) for one in topic.partitions],
            )
            for topic in request.topics
        ]
    )


def _end_of(node: Node, topic: str, asked: OffsetForLeaderPartition) -> EpochEndOffset:
    try:
        log = node.broker.partition(TopicPartition(topic, asked.partition))
    except LogError as error:
        return EpochEndOffset(partition=asked.partition, error_code=error_code(error))
    code = epoch_error(log, asked.current_leader_epoch)
    if code:
        return EpochEndOffset(partition=asked.partition, error_code=code)
    known = log.epoch_end(asked.leader_epoch)
    return EpochEndOffset(
        partition=asked.partition, leader_epoch=known.leader_epoch, end_offset=known.end_offset
    )
