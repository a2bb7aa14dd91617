"""JoinGroup (11): become a member of a classic group, or take part in its next generation.

The response comes when all members have joined or the rebalance timeout is over. The leader's lists
all members with their subscriptions, so that it can assign.

    1   rebalance timeout; before, the session timeout counts as both (KIP-62)
    2   throttle time
    4   a new member is told its id first, and joins again with it (KIP-394)
    5   group instance id (KIP-345)
    6   flexible
    7   protocol type in the response (KIP-559)
    8   the reason for joining (KIP-800)
    9   the leader may be told that nothing is to be assigned (KIP-814)

Source: the Kafka protocol, as of 4.1.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Bool, Bytes, Int16, Int32, Message, NullableSince, Since, String


class JoinGroupRequestProtocol(Message):
    """One of `JoinGroupRequest.protocols`."""

    name: String
    metadata: Bytes


class JoinGroupRequest(Message):
    """What a client asks."""

    group_id: String
    session_timeout_ms: Int32
    rebalance_timeout_ms: Annotated[Int32, Since(1)] = -1
    member_id: String
    group_instance_id: Annotated[String | None, Since(5)] = None
    protocol_type: String
    protocols: list[JoinGroupRequestProtocol]
    reason: Annotated[String | None, Since(8)] = None


class JoinGroupResponseMember(Message):
    """One of `JoinGroupResponse.members`."""

    member_id: String
    group_instance_id: Annotated[String | None, Since(5)] = None
    metadata: Bytes


class JoinGroupResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Annotated[Int32, Since(2)] = 0
    error_code: Int16 = 0
    generation_id: Int32 = -1
    protocol_type: Annotated[String | None, Since(7)] = None
    protocol_name: Annotated[String | None, NullableSince(7)]
    leader: String
    skip_assignment: Annotated[Bool, Since(9)] = False
    member_id: String
    members: list[JoinGroupResponseMember]


JOIN_GROUP: Final = Api(
    key=11,
    name="JoinGroup",
    request=JoinGroupRequest,
    response=JoinGroupResponse,
    first=0,
    last=9,
    flexible_since=6,
)
"""JoinGroup, as both sides know it."""
