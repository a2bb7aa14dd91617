"""ConsumerGroupDescribe (69): state and members of consumer groups, with their assignments.

    1   whether a member speaks the classic or the consumer protocol (KIP-1099)

Source: the Kafka protocol, as of 4.1; KIP-848.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Bool, Int8, Int16, Int32, Message, Since, String, Uuid


class ConsumerGroupDescribeRequest(Message):
    """What a client asks."""

    group_ids: list[String]
    include_authorized_operations: Bool


class TopicPartitions(Message):
    """One of `Assignment.topic_partitions`."""

    topic_id: Uuid
    topic_name: String
    partitions: list[Int32]


class Assignment(Message):
    """The `Member.assignment`."""

    topic_partitions: list[TopicPartitions]


class Member(Message):
    """One of `DescribedGroup.members`."""

    member_id: String
    instance_id: String | None = None
    rack_id: String | None = None
    member_epoch: Int32
    client_id: String
    client_host: String
    subscribed_topic_names: list[String]
    subscribed_topic_regex: String | None = None
    assignment: Assignment
    target_assignment: Assignment
    member_type: Annotated[Int8, Since(1)] = -1


class DescribedGroup(Message):
    """One of `ConsumerGroupDescribeResponse.groups`."""

    error_code: Int16 = 0
    error_message: String | None = None
    group_id: String
    group_state: String
    group_epoch: Int32
    assignment_epoch: Int32
    assignor_name: String
    members: list[Member]
    authorized_operations: Int32 = -2147483648


class ConsumerGroupDescribeResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    groups: list[DescribedGroup]


CONSUMER_GROUP_DESCRIBE: Final = Api(
    key=69,
    name="ConsumerGroupDescribe",
    request=ConsumerGroupDescribeRequest,
    response=ConsumerGroupDescribeResponse,
    first=0,
    last=1,
    flexible_since=0,
)
"""ConsumerGroupDescribe, as both sides know it."""
