"""ListOffsets, versions 1 to 10: the first, last or otherwise special offset, or one by time.

Special timestamps, and the version that brought them: -2 the earliest (1), -1 the latest (1), -3 the
record with the largest timestamp (7), -4 the earliest on this disk (8), which is the earliest here,
-5 the latest in tiered storage (9), which there is none of.

- The latest offset, and what is found by time, lie below what the reader's isolation may see: a
  record beyond it is not found, though there may be others before it, as in Kafka.
- `timeout_ms` has nothing to bound: nothing remote is asked.
- A partition that is named twice is INVALID_REQUEST, both times.

Source: KIP-79, KIP-734 (-3), KIP-405 (-4), KIP-1005 (-5), KIP-320 (leader epochs).
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from ...errors import LogError
from ...model import Offset, TopicPartition
from ...storage.partition_log import PartitionLog
from ...storage.time_search import Timed
from ...wire.error_codes import ErrorCode
from ...wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from ..node import Caller, Node
from .checks import epoch_error, isolation_of
from .failures import error_code

_LATEST: Final = -1
_EARLIEST: Final = -2
_LARGEST_TIMESTAMP: Final = -3
_EARLIEST_LOCAL: Final = -4
_LATEST_TIERED: Final = -5

_SINCE: Final[Mapping[int, int]] = {
    _LATEST: 1,
    _EARLIEST: 1,
    _LARGEST_TIMESTAMP: 7,
    _EARLIEST_LOCAL: 8,
    _LATEST_TIERED: 9,
}
_UNKNOWN: Final = -1
_DEBUGGING_REPLICA: Final = -2
"""A client that wants to see all that is appended."""

_NOT_FOUND: Final = Timed(_UNKNOWN, _UNKNOWN, _UNKNOWN)


def list_offsets(node: Node, request: ListOffsetsRequest, caller: Caller) -> ListOffsetsResponse:
    """Look up one offset in each partition."""
    isolation = isolation_of(request.isolation_level)
    named = Counter(
        TopicPartition(topic.name, one.partition_index)
        for topic in request.topics
        for one in topic.partitions
    )

    def answer(
        partition: TopicPartition, asked: ListOffsetsPartition
    ) -> ListOffsetsPartitionResponse:
        if named[partition] > 1:
            return _failed(asked, ErrorCode.INVALID_REQUEST)
        if asked.timestamp < 0 and caller.version < _SINCE.get(asked.timestamp, caller.version + 1):
            return _failed(asked, ErrorCode.UNSUPPORTED_VERSION)
        try:
            log = node.broker.partition(partition)
            code = epoch_error(log, asked.current_leader_epoch)
            if code:
                return _failed(asked, code)
            limit = log.end_for(isolation)
            if request.replica_id == _DEBUGGING_REPLICA:
                limit = log.log_end_offset
            found = _found(log, asked.timestamp, limit)
        except LogError as error:
            return _failed(asked, error_code(error))
        return ListOffsetsPartitionResponse(
            partition_index=asked.partition_index,
            timestamp=found.timestamp,
            offset=found.offset,
            leader_epoch=found.leader_epoch,
        )

    return ListOffsetsResponse(
        topics=[
            ListOffsetsTopicResponse(
                name=topic.name,
                partitions=[
                    answer(TopicPartition(topic.name, one.partition_index), one)
                    for one in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )


def _found(log: PartitionLog, timestamp: int, limit: Offset) -> Timed:
    match timestamp:
        case -1:
            return Timed(_UNKNOWN, limit, log.leader_epoch)
        case -2 | -4:
            start = log.log_start_offset
            return Timed(_UNKNOWN, start, log.epochs.epoch_of(start))
        case -3:
            return log.find_latest_time(limit) or _NOT_FOUND
        case -5:
            return _NOT_FOUND
        case _:
            return log.find_time(timestamp, limit) or _NOT_FOUND


def _failed(asked: ListOffsetsPartition, code: ErrorCode) -> ListOffsetsPartitionResponse:
    return ListOffsetsPartitionResponse(partition_index=asked.partition_index, error_code=code)
