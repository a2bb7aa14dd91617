"""SyncGroup (14): the leader of a classic group assigns; every member gets what is its own.

    1   throttle time
    3   group instance id (KIP-345)
    4   flexible
    5   protocol type and name, both ways (KIP-559)

Source: the Kafka protocol, as of 4.1.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Bytes, Int16, Int32, Message, Since, String


class SyncGroupRequestAssignment(Message):
    """One of `SyncGroupRequest.assignments`."""

    member_id: String
    assignment: Bytes


class SyncGroupRequest(Message):
    """What a client asks."""

    group_id: String
    generation_id: Int32
    member_id: String
    group_instance_id: Annotated[String | None, Since(3)] = None
    protocol_type: Annotated[String | None, Since(5)] = None
    protocol_name: Annotated[String | None, Since(5)] = None
    assignments: list[SyncGroupRequestAssignment]


class SyncGroupResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Annotated[Int32, Since(1)] = 0
    error_code: Int16 = 0
    protocol_type: Annotated[String | None, Since(5)] = None
    protocol_name: Annotated[String | None, Since(5)] = None
    assignment: Bytes


SYNC_GROUP: Final = Api(
    key=14,
    name="SyncGroup",
    request=SyncGroupRequest,
    response=SyncGroupResponse,
    first=0,
    last=5,
    flexible_since=4,
)
"""SyncGroup, as both sides know it."""
