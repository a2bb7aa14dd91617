"""DescribeGroups (15): state, protocol and members of classic groups.

What members subscribe to and were assigned is told only while the group is stable.

    1   throttle time
    3   authorized operations (KIP-430)
    4   group instance ids (KIP-345)
    5   flexible
    6   GROUP_ID_NOT_FOUND and a message; before, an unknown group was a dead one (KIP-1043)

Source: the Kafka protocol, as of 4.1.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Bool, Bytes, Int16, Int32, Message, Since, String


class DescribeGroupsRequest(Message):
    """What a client asks."""

    groups: list[String]
    include_authorized_operations: Annotated[Bool, Since(3)] = False


class DescribedGroupMember(Message):
    """One of `DescribedGroup.members`."""

    member_id: String
    group_instance_id: Annotated[String | None, Since(4)] = None
    client_id: String
    client_host: String
    member_metadata: Bytes
    member_assignment: Bytes


class DescribedGroup(Message):
    """One of `DescribeGroupsResponse.groups`."""

    error_code: Int16 = 0
    error_message: Annotated[String | None, Since(6)] = None
    group_id: String
    group_state: String
    protocol_type: String
    protocol_data: String
    members: list[DescribedGroupMember]
    authorized_operations: Annotated[Int32, Since(3)] = -2147483648


class DescribeGroupsResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Annotated[Int32, Since(1)] = 0
    groups: list[DescribedGroup]


DESCRIBE_GROUPS: Final = Api(
    key=15,
    name="DescribeGroups",
    request=DescribeGroupsRequest,
    response=DescribeGroupsResponse,
    first=0,
    last=6,
    flexible_since=5,
)
"""DescribeGroups, as both sides know it."""
