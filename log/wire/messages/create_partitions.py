"""CreatePartitions (37): give topics more partitions.

`count` is how many there shall be in all.

    2   flexible
    3   THROTTLING_QUOTA_EXCEEDED may be answered (KIP-599)

Source: the Kafka protocol, as of 4.1; KIP-195.
"""

from typing import Final

from ..api import Api
from ..schema import Bool, Int16, Int32, Message, String


class CreatePartitionsAssignment(Message):
    """One of `CreatePartitionsTopic.assignments`."""

    broker_ids: list[Int32]


class CreatePartitionsTopic(Message):
    """One of `CreatePartitionsRequest.topics`."""

    name: String
    count: Int32
    assignments: list[CreatePartitionsAssignment] | None


class CreatePartitionsRequest(Message):
    """What a client asks."""

    topics: list[CreatePartitionsTopic]
    timeout_ms: Int32
    validate_only: Bool


class CreatePartitionsTopicResult(Message):
    """One of `CreatePartitionsResponse.results`."""

    name: String
    error_code: Int16 = 0
    error_message: String | None = None


class CreatePartitionsResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    results: list[CreatePartitionsTopicResult]


CREATE_PARTITIONS: Final = Api(
    key=37,
    name="CreatePartitions",
    request=CreatePartitionsRequest,
    response=CreatePartitionsResponse,
    first=0,
    last=3,
    flexible_since=2,
)
"""CreatePartitions, as both sides know it."""
