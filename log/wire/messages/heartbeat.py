"""Heartbeat (12): a member of a classic group is alive, and asks whether it must join again.

    1   throttle time
    3   group instance id (KIP-345)
    4   flexible

Source: the Kafka protocol, as of 4.1.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Int16, Int32, Message, Since, String


class HeartbeatRequest(Message):
    """What a client asks."""

    group_id: String
    generation_id: Int32
    member_id: String
    group_instance_id: Annotated[String | None, Since(3)] = None


class HeartbeatResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Annotated[Int32, Since(1)] = 0
    error_code: Int16 = 0


HEARTBEAT: Final = Api(
    key=12,
    name="Heartbeat",
    request=HeartbeatRequest,
    response=HeartbeatResponse,
    first=0,
    last=4,
    flexible_since=4,
)
"""Heartbeat, as both sides know it."""
