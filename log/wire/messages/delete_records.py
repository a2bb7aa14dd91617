"""DeleteRecords (21): forget all records of a partition below an offset.

An offset of -1 stands for the high watermark.

    2   flexible

Source: the Kafka protocol, as of 4.1; KIP-107.
"""

from typing import Final

from ..api import Api
from ..schema import Int16, Int32, Int64, Message, String


class DeleteRecordsPartition(Message):
    """One of `DeleteRecordsTopic.partitions`."""

    partition_index: Int32
    offset: Int64


class DeleteRecordsTopic(Message):
    """One of `DeleteRecordsRequest.topics`."""

    name: String
    partitions: list[DeleteRecordsPartition]


class DeleteRecordsRequest(Message):
    """What a client asks."""

    topics: list[DeleteRecordsTopic]
    timeout_ms: Int32


class DeleteRecordsPartitionResult(Message):
    """One of `DeleteRecordsTopicResult.partitions`."""

    partition_index: Int32
    low_watermark: Int64
    error_code: Int16 = 0


class DeleteRecordsTopicResult(Message):
    """One of `DeleteRecordsResponse.topics`."""

    name: String
    partitions: list[DeleteRecordsPartitionResult]


class DeleteRecordsResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    topics: list[DeleteRecordsTopicResult]


DELETE_RECORDS: Final = Api(
    key=21,
    name="DeleteRecords",
    request=DeleteRecordsRequest,
    response=DeleteRecordsResponse,
    first=0,
    last=2,
    flexible_since=2,
)
"""DeleteRecords, as both sides know it."""
