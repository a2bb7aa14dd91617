"""Produce, versions 3 to 12: append a batch to each of some partitions."""

from ...errors import LogError
from ...model import TopicPartition
from ...storage.partition_log import PartitionLog
from ...wire.error_codes import ErrorCode
from ...wire.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceResponse,
)
from ..node import Caller, Node
from ..waits import Flush, Handling
from .failures import error_code


def produce(
    node: Node, request: ProduceRequest, caller: Caller
) -> Handling[ProduceResponse | None]:
    """Append what can be appended, and wait for the disk as far as `acks` asks for it."""
    del caller
    touched: list[PartitionLog] = []
    responses = [
        TopicProduceResponse(
            name=topic.name,
            partition_responses=[
                _append(node, request, TopicPartition(topic.name, data.index), data, touched)
                for data in topic.partition_data
            ],
        )
        for topic in request.topic_data
    ]
    if touched:
        yield touched if request.acks == -1 else Flush(touched)
    return ProduceResponse(responses=responses) if request.acks else None


def _append(
    node: Node,
    request: ProduceRequest,
    partition: TopicPartition,
    data: PartitionProduceData,
    touched: list[PartitionLog],
) -> PartitionProduceResponse:
    if request.acks not in {-1, 0, 1}:
        return _refused(data, ErrorCode.INVALID_REQUIRED_ACKS, "")
    try:
        log = node.broker.partition(partition)
        done = node.broker.append(partition, bytearray(data.records or b""), node.now())
    except LogError as error:
        return _refused(data, error_code(error), str(error))
    touched.append(log)
    return PartitionProduceResponse(
        index=data.index,
        base_offset=done.base_offset,
        log_append_time_ms=done.append_time,
        log_start_offset=log.log_start_offset,
    )


def _refused(
    data: PartitionProduceData, error: ErrorCode, message: str
) -> PartitionProduceResponse:
    return PartitionProduceResponse(
        index=data.index, error_code=error, base_offset=-1, error_message=message
    )
