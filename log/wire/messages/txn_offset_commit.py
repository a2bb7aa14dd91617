"""TxnOffsetCommit (28): commit a group's offsets when, and if, a transaction is committed.

    2   leader epochs (KIP-320)
    3   flexible; member, generation and instance, which are checked (KIP-447)
    4   TRANSACTION_ABORTABLE may be answered (KIP-890)
    5   also what AddOffsetsToTxn does (KIP-890, part 2)

Source: the Kafka protocol, as of 4.1; KIP-98.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Int16, Int32, Int64, Message, Since, String


class TxnOffsetCommitRequestPartition(Message):
    """One of `TxnOffsetCommitRequestTopic.partitions`."""

    partition_index: Int32
    committed_offset: Int64
    committed_leader_epoch: Annotated[Int32, Since(2)] = -1
    committed_metadata: String | None


class TxnOffsetCommitRequestTopic(Message):
    """One of `TxnOffsetCommitRequest.topics`."""

    name: String
    partitions: list[TxnOffsetCommitRequestPartition]


class TxnOffsetCommitRequest(Message):
    """What a client asks."""

    transactional_id: String
    group_id: String
    producer_id: Int64
    producer_epoch: Int16
    generation_id: Annotated[Int32, Since(3)] = -1
    member_id: Annotated[String, Since(3)] = ""
    group_instance_id: Annotated[String | None, Since(3)] = None
    topics: list[TxnOffsetCommitRequestTopic]


class TxnOffsetCommitResponsePartition(Message):
    """One of `TxnOffsetCommitResponseTopic.partitions`."""

    partition_index: Int32
    error_code: Int16 = 0


class TxnOffsetCommitResponseTopic(Message):
    """One of `TxnOffsetCommitResponse.topics`."""

    name: String
    partitions: list[TxnOffsetCommitResponsePartition]


class TxnOffsetCommitResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    topics: list[TxnOffsetCommitResponseTopic]


TXN_OFFSET_COMMIT: Final = Api(
    key=28,
    name="TxnOffsetCommit",
    request=TxnOffsetCommitRequest,
    response=TxnOffsetCommitResponse,
    first=0,
    last=5,
    flexible_since=3,
)
"""TxnOffsetCommit, as both sides know it."""
