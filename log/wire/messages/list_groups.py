"""ListGroups (16): which groups this broker coordinates.

    1   throttle time
    3   flexible
    4   states, and a filter for them (KIP-518)
    5   types, and a filter for them (KIP-848)

Source: the Kafka protocol, as of 4.1.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Int16, Int32, Message, Since, String


class ListGroupsRequest(Message):
    """What a client asks."""

    states_filter: Annotated[list[String], Since(4)] = []
    types_filter: Annotated[list[String], Since(5)] = []


class ListedGroup(Message):
    """One of `ListGroupsResponse.groups`."""

    group_id: String
    protocol_type: String
    group_state: Annotated[String, Since(4)] = ""
    group_type: Annotated[String, Since(5)] = ""


class ListGroupsResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Annotated[Int32, Since(1)] = 0
    error_code: Int16 = 0
    groups: list[ListedGroup]


LIST_GROUPS: Final = Api(
    key=16,
    name="ListGroups",
    request=ListGroupsRequest,
    response=ListGroupsResponse,
    first=0,
    last=5,
    flexible_since=3,
)
"""ListGroups, as both sides know it."""
