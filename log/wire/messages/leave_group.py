"""LeaveGroup (13): members leave a classic group at once, without a session timeout.

    1   throttle time
    3   several members at once, also by group instance id (KIP-345)
    4   flexible
    5   the reason for leaving (KIP-800)

Source: the Kafka protocol, as of 4.1.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Int16, Int32, Message, Since, String, Until


class MemberIdentity(Message):
    """One of `LeaveGroupRequest.members`."""

    member_id: Annotated[String, Since(3)] = ""
    group_instance_id: Annotated[String | None, Since(3)] = None
    reason: Annotated[String | None, Since(5)] = None


class LeaveGroupRequest(Message):
    """What a client asks."""

    group_id: String
    member_id: Annotated[String, Until(2)] = ""
    members: Annotated[list[MemberIdentity], Since(3)] = []


class MemberResponse(Message):
    """One of `LeaveGroupResponse.members`."""

    member_id: Annotated[String, Since(3)] = ""
    group_instance_id: Annotated[String | None, Since(3)] = ""
    error_code: Annotated[Int16, Since(3)] = 0


class LeaveGroupResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Annotated[Int32, Since(1)] = 0
    error_code: Int16 = 0
    members: Annotated[list[MemberResponse], Since(3)] = []


LEAVE_GROUP: Final = Api(
    key=13,
    name="LeaveGroup",
    request=LeaveGroupRequest,
    response=LeaveGroupResponse,
    first=0,
    last=5,
    flexible_since=4,
)
"""LeaveGroup, as both sides know it."""
