"""CreateTopics (19): make topics.

Either a number of partitions and replicas or an assignment of replicas is given, never both.

    2   throttle time
    4   -1 for partitions and replicas: what the broker has by default (KIP-464)
    5   flexible; the new topic's size and settings in the response (KIP-525)
    6   THROTTLING_QUOTA_EXCEEDED may be answered (KIP-599)
    7   topic id in the response (KIP-516)

Source: the Kafka protocol, as of 4.1; KIP-4.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import NO_UUID, Bool, Int8, Int16, Int32, Message, Since, String, Tagged, Uuid


class CreatableReplicaAssignment(Message):
    """One of `CreatableTopic.assignments`."""

    partition_index: Int32
    broker_ids: list[Int32]


class CreatableTopicConfig(Message):
    """One of `CreatableTopic.configs`."""

    name: String
    value: String | None


class CreatableTopic(Message):
    """One of `CreateTopicsRequest.topics`."""

    name: String
    num_partitions: Int32
    replication_factor: Int16
    assignments: list[CreatableReplicaAssignment]
    configs: list[CreatableTopicConfig]


class CreateTopicsRequest(Message):
    """What a client asks."""

    topics: list[CreatableTopic]
    timeout_ms: Int32 = 60000
    validate_only: Bool = False


class CreatableTopicConfigs(Message):
    """One of `CreatableTopicResult.configs`."""

    name: Annotated[String, Since(5)] = ""
    value: Annotated[String | None, Since(5)] = ""
    read_only: Annotated[Bool, Since(5)] = False
    config_source: Annotated[Int8, Since(5)] = -1
    is_sensitive: Annotated[Bool, Since(5)] = False


class CreatableTopicResult(Message):
    """One of `CreateTopicsResponse.topics`."""

    name: String
    topic_id: Annotated[Uuid, Since(7)] = NO_UUID
    error_code: Int16 = 0
    error_message: String | None = None
    topic_config_error_code: Annotated[Int16, Since(5), Tagged(0)] = 0
    num_partitions: Annotated[Int32, Since(5)] = -1
    replication_factor: Annotated[Int16, Since(5)] = -1
    configs: Annotated[list[CreatableTopicConfigs] | None, Since(5)] = []


class CreateTopicsResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    topics: list[CreatableTopicResult]


CREATE_TOPICS: Final = Api(
    key=19,
    name="CreateTopics",
    request=CreateTopicsRequest,
    response=CreateTopicsResponse,
    first=2,
    last=7,
    flexible_since=5,
)
"""CreateTopics, as both sides know it."""
