"""Fetch, versions 4 to 17."""

from ...errors import LogError
from ...model import Isolation, TopicPartition
from ...wire.error_codes import ErrorCode
from ...wire.messages.fetch import (
    AbortedTransaction,
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    PartitionData,
)
from ..node import Caller, Node
from ..waits import Change, Handling
from .failures import error_code


def fetch(node: Node, request: FetchRequest, caller: Caller) -> Handling[FetchResponse]:
    """Read, and wait if there is less than was asked for."""
    started = node.clock.elapsed_ms()
    while True:
        names = {topic.topic_id: topic.name for topic in node.broker.metadata.topics.values()}
        left = min(request.max_bytes, node.settings.fetch_max_bytes)
        size, failed, watched, responses = 0, False, [], []
        for topic in request.topics:
            name = topic.topic if caller.version < 13 else names.get(topic.topic_id)
            found = []
            for one in topic.partitions:
                if name is None:
                    failed = True
                    found.append(_failed(one, ErrorCode.UNKNOWN_TOPIC_ID))
                    continue
                watched.append(TopicPartition(name, one.partition))
                data = _read(node, request, watched[-1], one, left)
                failed = failed or data.error_code != 0
                left -= len(data.records or b"")
                size += len(data.records or b"")
                found.append(data)
            responses.append(
                FetchableTopicResponse(topic=name or "", topic_id=topic.topic_id, partitions=found)
            )
        wait_ms = started + request.max_wait_ms - node.clock.elapsed_ms()
        if failed or size >= request.min_bytes or wait_ms <= 0 or not watched:
            return FetchResponse(responses=responses)
        yield Change(watched, wait_ms)


def _failed(asked: FetchPartition, error: ErrorCode) -> PartitionData:
    return PartitionData(
        partition_index=asked.partition,
        error_code=error,
        high_watermark=-1,
        aborted_transactions=None,
        records=b"",
    )


def _read(
    node: Node, request: FetchRequest, partition: TopicPartition, asked: FetchPartition, left: int
) -> PartitionData:
    isolation = Isolation(request.isolation_level)
    try:
        log = node.broker.partition(partition)
        result = log.read(asked.fetch_offset, min(asked.partition_max_bytes, left), isolation)
    except LogError as error:
        return _failed(asked, error_code(error))
    return PartitionData(
        partition_index=asked.partition,
        high_watermark=result.high_watermark,
        last_stable_offset=result.last_stable_offset,
        log_start_offset=result.log_start_offset,
        aborted_transactions=[
            AbortedTransaction(producer_id=one.producer_id, first_offset=one.first_offset)
            for one in result.aborted
        ],
        records=result.data,
    )
