"""ConsumerGroupHeartbeat (68): all that a member of a consumer group says, and is told.

Joining (member epoch 0), leaving (-1; -2 for a static member that will be back), what it subscribes
to and owns; the response has its assignment. Fields that haven't changed are null.

    1   a regular expression to subscribe by (KIP-848); members make their own ids (KIP-1082)

Source: the Kafka protocol, as of 4.1; KIP-848.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Int16, Int32, Message, Since, String, Uuid


class TopicPartitions(Message):
    """One of `ConsumerGroupHeartbeatRequest.topic_partitions`."""

    topic_id: Uuid
    partitions: list[Int32]


class ConsumerGroupHeartbeatRequest(Message):
    """What a client asks."""

    group_id: String
    member_id: String
    member_epoch: Int32
    instance_id: String | None = None
    rack_id: String | None = None
    rebalance_timeout_ms: Int32 = -1
    subscribed_topic_names: list[String] | None = None
    subscribed_topic_regex: Annotated[String | None, Since(1)] = None
    server_assignor: String | None = None
    topic_partitions: list[TopicPartitions] | None = None


class ResponseTopicPartitions(Message):
    """One of `Assignment.response_topic_partitions`."""

    topic_id: Uuid
    partitions: list[Int32]


class Assignment(Message):
    """The `ConsumerGroupHeartbeatResponse.assignment`."""

    response_topic_partitions: list[ResponseTopicPartitions]


class ConsumerGroupHeartbeatResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    error_message: String | None = None
    member_id: String | None = None
    member_epoch: Int32
    heartbeat_interval_ms: Int32
    assignment: Assignment | None = None


CONSUMER_GROUP_HEARTBEAT: Final = Api(
    key=68,
    name="ConsumerGroupHeartbeat",
    request=ConsumerGroupHeartbeatRequest,
    response=ConsumerGroupHeartbeatResponse,
    first=0,
    last=1,
    flexible_since=0,
)
"""ConsumerGroupHeartbeat, as both sides know it."""
