"""OffsetFetch (9): how far a group has come.

A partition without an offset is answered with -1, and so is an unknown group: that is no error.

    1   offsets are those in the log of the broker
    2   all topics, if none are named; an error of the whole response (KIP-88)
    3   throttle time
    5   leader epochs (KIP-320)
    6   flexible
    7   wait for offsets of open transactions to be decided: UNSTABLE_OFFSET_COMMIT (KIP-447)
    8   several groups at once (KIP-709)
    9   member id and epoch of a consumer group (KIP-848)
    10  topic ids in place of names (KIP-848)

Source: the Kafka protocol, as of 4.1.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import (
    NO_UUID,
    Bool,
    Int16,
    Int32,
    Int64,
    Message,
    NullableSince,
    Since,
    String,
    Until,
    Uuid,
)


class OffsetFetchRequestTopic(Message):
    """One of `OffsetFetchRequest.topics`."""

    name: Annotated[String, Until(7)] = ""
    partition_indexes: Annotated[list[Int32], Until(7)] = []


class OffsetFetchRequestTopics(Message):
    """One of `OffsetFetchRequestGroup.topics`."""

    name: Annotated[String, Since(8), Until(9)] = ""
    topic_id: Annotated[Uuid, Since(10)] = NO_UUID
    partition_indexes: Annotated[list[Int32], Since(8)] = []


class OffsetFetchRequestGroup(Message):
    """One of `OffsetFetchRequest.groups`."""

    group_id: Annotated[String, Since(8)] = ""
    member_id: Annotated[String | None, Since(9)] = None
    member_epoch: Annotated[Int32, Since(9)] = -1
    topics: Annotated[list[OffsetFetchRequestTopics] | None, Since(8)] = []


class OffsetFetchRequest(Message):
    """What a client asks."""

    group_id: Annotated[String, Until(7)] = ""
    topics: Annotated[list[OffsetFetchRequestTopic] | None, NullableSince(2), Until(7)] = []
    groups: Annotated[list[OffsetFetchRequestGroup], Since(8)] = []
    require_stable: Annotated[Bool, Since(7)] = False


class OffsetFetchResponsePartition(Message):
    """One of `OffsetFetchResponseTopic.partitions`."""

    partition_index: Annotated[Int32, Until(7)] = 0
    committed_offset: Annotated[Int64, Until(7)] = 0
    committed_leader_epoch: Annotated[Int32, Since(5), Until(7)] = -1
    metadata: Annotated[String | None, Until(7)] = ""
    error_code: Annotated[Int16, Until(7)] = 0


class OffsetFetchResponseTopic(Message):
    """One of `OffsetFetchResponse.topics`."""

    name: Annotated[String, Until(7)] = ""
    partitions: Annotated[list[OffsetFetchResponsePartition], Until(7)] = []


class OffsetFetchResponsePartitions(Message):
    """One of `OffsetFetchResponseTopics.partitions`."""

    partition_index: Annotated[Int32, Since(8)] = 0
    committed_offset: Annotated[Int64, Since(8)] = 0
    committed_leader_epoch: Annotated[Int32, Since(8)] = -1
    metadata: Annotated[String | None, Since(8)] = ""
    error_code: Annotated[Int16, Since(8)] = 0


class OffsetFetchResponseTopics(Message):
    """One of `OffsetFetchResponseGroup.topics`."""

    name: Annotated[String, Since(8), Until(9)] = ""
    topic_id: Annotated[Uuid, Since(10)] = NO_UUID
    partitions: Annotated[list[OffsetFetchResponsePartitions], Since(8)] = []


class OffsetFetchResponseGroup(Message):
    """One of `OffsetFetchResponse.groups`."""

    group_id: Annotated[String, Since(8)] = ""
    topics: Annotated[list[OffsetFetchResponseTopics], Since(8)] = []
    error_code: Annotated[Int16, Since(8)] = 0


class OffsetFetchResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Annotated[Int32, Since(3)] = 0
    topics: Annotated[list[OffsetFetchResponseTopic], Until(7)] = []
    error_code: Annotated[Int16, Since(2), Until(7)] = 0
    groups: Annotated[list[OffsetFetchResponseGroup], Since(8)] = []


OFFSET_FETCH: Final = Api(
    key=9,
    name="OffsetFetch",
    request=OffsetFetchRequest,
    response=OffsetFetchResponse,
    first=1,
    last=10,
    flexible_since=6,
)
"""OffsetFetch, as both sides know it."""
