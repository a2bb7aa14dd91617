"""AlterPartitionReassignments (45): let partitions move to other brokers (KIP-455).

`replicas` null takes back a move that is under way.

    1   whether a partition may get more or fewer replicas than it has

Source: the Kafka protocol, as of 4.1; KIP-455.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Bool, Int16, Int32, Message, Since, String


class ReassignablePartition(Message):
    """One of `ReassignableTopic.partitions`."""

    partition_index: Int32
    replicas: list[Int32] | None = None


class ReassignableTopic(Message):
    """One of `AlterPartitionReassignmentsRequest.topics`."""

    name: String
    partitions: list[ReassignablePartition]


class AlterPartitionReassignmentsRequest(Message):
    """What a client asks."""

    timeout_ms: Int32 = 60000
    allow_replication_factor_change: Annotated[Bool, Since(1)] = True
    topics: list[ReassignableTopic]


class ReassignablePartitionResponse(Message):
    """One of `ReassignableTopicResponse.partitions`."""

    partition_index: Int32
    error_code: Int16 = 0
    error_message: String | None = None


class ReassignableTopicResponse(Message):
    """One of `AlterPartitionReassignmentsResponse.responses`."""

    name: String
    partitions: list[ReassignablePartitionResponse]


class AlterPartitionReassignmentsResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    allow_replication_factor_change: Annotated[Bool, Since(1)] = True
    error_code: Int16 = 0
    error_message: String | None = None
    responses: list[ReassignableTopicResponse]


ALTER_PARTITION_REASSIGNMENTS: Final = Api(
    key=45,
    name="AlterPartitionReassignments",
    request=AlterPartitionReassignmentsRequest,
    response=AlterPartitionReassignmentsResponse,
    first=0,
    last=1,
    flexible_since=0,
)
"""AlterPartitionReassignments, as both sides know it."""
