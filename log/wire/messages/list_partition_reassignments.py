"""ListPartitionReassignments (46): which partitions are moving to other brokers.

`topics` null asks for all of them.

Source: the Kafka protocol, as of 4.1; KIP-455.
"""

from typing import Final

from ..api import Api
from ..schema import Int16, Int32, Message, String


class ListPartitionReassignmentsTopics(Message):
    """One of `ListPartitionReassignmentsRequest.topics`."""

    name: String
    partition_indexes: list[Int32]


class ListPartitionReassignmentsRequest(Message):
    """What a client asks."""

    timeout_ms: Int32 = 60000
    topics: list[ListPartitionReassignmentsTopics] | None = None


class OngoingPartitionReassignment(Message):
    """One of `OngoingTopicReassignment.partitions`."""

    partition_index: Int32
    replicas: list[Int32]
    adding_replicas: list[Int32]
    removing_replicas: list[Int32]


class OngoingTopicReassignment(Message):
    """One of `ListPartitionReassignmentsResponse.topics`."""

    name: String
    partitions: list[OngoingPartitionReassignment]


class ListPartitionReassignmentsResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    error_message: String | None = None
    topics: list[OngoingTopicReassignment]


LIST_PARTITION_REASSIGNMENTS: Final = Api(
    key=46,
    name="ListPartitionReassignments",
    request=ListPartitionReassignmentsRequest,
    response=ListPartitionReassignmentsResponse,
    first=0,
    last=0,
    flexible_since=0,
)
"""ListPartitionReassignments, as both sides know it."""
