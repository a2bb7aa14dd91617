"""OffsetDelete (47): forget a group's offsets of topics it isn't subscribed to any more.

There is one version, without compact lengths.

Source: the Kafka protocol, as of 4.1; KIP-496.
"""

from typing import Final

from ..api import Api
from ..schema import VERSION_MAX, Int16, Int32, Message, String


class OffsetDeleteRequestPartition(Message):
    """One of `OffsetDeleteRequestTopic.partitions`."""

    partition_index: Int32


class OffsetDeleteRequestTopic(Message):
    """One of `OffsetDeleteRequest.topics`."""

    name: String
    partitions: list[OffsetDeleteRequestPartition]


class OffsetDeleteRequest(Message):
    """What a client asks."""

    group_id: String
    topics: list[OffsetDeleteRequestTopic]


class OffsetDeleteResponsePartition(Message):
    """One of `OffsetDeleteResponseTopic.partitions`."""

    partition_index: Int32
    error_code: Int16 = 0


class OffsetDeleteResponseTopic(Message):
    """One of `OffsetDeleteResponse.topics`."""

    name: String
    partitions: list[OffsetDeleteResponsePartition]


class OffsetDeleteResponse(Message):
    """What the broker answers."""

    error_code: Int16 = 0
    throttle_time_ms: Int32 = 0
    topics: list[OffsetDeleteResponseTopic]


OFFSET_DELETE: Final = Api(
    key=47,
    name="OffsetDelete",
    request=OffsetDeleteRequest,
    response=OffsetDeleteResponse,
    first=0,
    last=0,
    flexible_since=VERSION_MAX + 1,
)
"""OffsetDelete, as both sides know it."""
