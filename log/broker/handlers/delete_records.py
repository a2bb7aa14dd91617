"""DeleteRecords, versions 0 to 2: let a partition begin later, so that what lies before is gone.

-1 stands for the high watermark. An offset before the log's start changes nothing. Where records are
kept by key alone (`cleanup.policy=compact`) their number says nothing, so they can't be deleted by
it: POLICY_VIOLATION.

Source: KIP-107.
"""

from collections.abc import Mapping
from typing import Final

from ...errors import LogError, OffsetOutOfRange
from ...model import Offset, TopicPartition
from ...storage.partition_log import PartitionLog
from ...wire.error_codes import ErrorCode
from ...wire.messages.delete_records import (
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)
from ..node import Caller, Node
from ..waits import Exclusive, Handling, Quiet
from .failures import error_code

_HIGH_WATERMARK: Final = -1


def delete_records(
    node: Node, request: DeleteRecordsRequest, caller: Caller
) -> Handling[DeleteRecordsResponse]:
    """Move the starts of logs, each as far as it may be."""
    del caller
    asked = {
        TopicPartition(topic.name, one.partition_index): one.offset
        for topic in request.topics
        for one in topic.partitions
    }
    yield Exclusive()
    codes: Mapping[TopicPartition, ErrorCode] = yield Quiet(
        lambda: {each: _deleted(node, each, offset) for each, offset in asked.items()}
    )

    def result(partition: TopicPartition) -> DeleteRecordsPartitionResult:
        code = codes[partition]
        return DeleteRecordsPartitionResult(
            partition_index=partition.partition,
            low_watermark=-1 if code else node.broker.partition(partition).log_start_offset,
            error_code=code,
        )

    return DeleteRecordsResponse(
        topics=[
            DeleteRecordsTopicResult(
                name=topic.name,
                partitions=[
                    result(TopicPartition(topic.name, one.partition_index))
                    for one in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )


def _deleted(node: Node, partition: TopicPartition, offset: Offset) -> ErrorCode:
    try:
        log = node.broker.partition(partition)
        if node.broker.topic(partition.topic).internal:
            return ErrorCode.INVALID_TOPIC_EXCEPTION
        if not log.config.cleanup_delete:
            return ErrorCode.POLICY_VIOLATION
        _delete_before(log, log.high_watermark if offset == _HIGH_WATERMARK else offset)
    except LogError as error:
        return error_code(error)
    return ErrorCode.NONE


def _delete_before(log: PartitionLog, offset: Offset) -> None:
    if offset < 0:
        raise OffsetOutOfRange(log.partition, offset, log.log_start_offset, log.high_watermark)
    log.delete_before(offset)
