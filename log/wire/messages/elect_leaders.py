"""ElectLeaders (43): let partitions be led by the replica that is meant to.

`topic_partitions` null asks for all of them.

    1   a kind of election: 0 the preferred leader, 1 any replica (KIP-460); an error of the response
    2   flexible

Source: the Kafka protocol, as of 4.1; KIP-183.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Int8, Int16, Int32, Message, Since, String


class TopicPartitions(Message):
    """One of `ElectLeadersRequest.topic_partitions`."""

    topic: String
    partitions: list[Int32]


class ElectLeadersRequest(Message):
    """What a client asks."""

    election_type: Annotated[Int8, Since(1)] = 0
    topic_partitions: list[TopicPartitions] | None
    timeout_ms: Int32 = 60000


class PartitionResult(Message):
    """One of `ReplicaElectionResult.partition_result`."""

    partition_id: Int32
    error_code: Int16 = 0
    error_message: String | None = None


class ReplicaElectionResult(Message):
    """One of `ElectLeadersResponse.replica_election_results`."""

    topic: String
    partition_result: list[PartitionResult]


class ElectLeadersResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    error_code: Annotated[Int16, Since(1)] = 0
    replica_election_results: list[ReplicaElectionResult]


ELECT_LEADERS: Final = Api(
    key=43,
    name="ElectLeaders",
    request=ElectLeadersRequest,
    response=ElectLeadersResponse,
    first=0,
    last=2,
    flexible_since=2,
)
"""ElectLeaders, as both sides know it."""
