"""OffsetCommit (8): remember how far a group has come.

Members of a group say who they are; whoever has no group to join commits with generation -1.

    2   retention time for these offsets
    3   throttle time
    5   no retention time any more: the broker's setting counts (KIP-211)
    6   leader epochs (KIP-320)
    7   group instance id (KIP-345)
    8   flexible
    9   the member epoch of a consumer group in place of a generation (KIP-848)
    10  topic ids in place of names (KIP-848)

Source: the Kafka protocol, as of 4.1.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import NO_UUID, Int16, Int32, Int64, Message, Since, String, Until, Uuid


class OffsetCommitRequestPartition(Message):
    """One of `OffsetCommitRequestTopic.partitions`."""

    partition_index: Int32
    committed_offset: Int64
    committed_leader_epoch: Annotated[Int32, Since(6)] = -1
    committed_metadata: String | None


class OffsetCommitRequestTopic(Message):
    """One of `OffsetCommitRequest.topics`."""

    name: Annotated[String, Until(9)] = ""
    topic_id: Annotated[Uuid, Since(10)] = NO_UUID
    partitions: list[OffsetCommitRequestPartition]


class OffsetCommitRequest(Message):
    """What a client asks."""

    group_id: String
    generation_id_or_member_epoch: Int32 = -1
    member_id: String
    group_instance_id: Annotated[String | None, Since(7)] = None
    retention_time_ms: Annotated[Int64, Until(4)] = -1
    topics: list[OffsetCommitRequestTopic]


class OffsetCommitResponsePartition(Message):
    """One of `OffsetCommitResponseTopic.partitions`."""

    partition_index: Int32
    error_code: Int16 = 0


class OffsetCommitResponseTopic(Message):
    """One of `OffsetCommitResponse.topics`."""

    name: Annotated[String, Until(9)] = ""
    topic_id: Annotated[Uuid, Since(10)] = NO_UUID
    partitions: list[OffsetCommitResponsePartition]


class OffsetCommitResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Annotated[Int32, Since(3)] = 0
    topics: list[OffsetCommitResponseTopic]


OFFSET_COMMIT: Final = Api(
    key=8,
    name="OffsetCommit",
    request=OffsetCommitRequest,
    response=OffsetCommitResponse,
    first=2,
    last=10,
    flexible_since=8,
)
"""OffsetCommit, as both sides know it."""
