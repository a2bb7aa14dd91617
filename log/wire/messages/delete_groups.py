"""DeleteGroups (42): delete groups that have no members, with their offsets.

    2   flexible

Source: the Kafka protocol, as of 4.1; KIP-229.
"""

from typing import Final

from ..api import Api
from ..schema import Int16, Int32, Message, String


class DeleteGroupsRequest(Message):
    """What a client asks."""

    groups_names: list[String]


class DeletableGroupResult(Message):
    """One of `DeleteGroupsResponse.results`."""

    group_id: String
    error_code: Int16 = 0


class DeleteGroupsResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    results: list[DeletableGroupResult]


DELETE_GROUPS: Final = Api(
    key=42,
    name="DeleteGroups",
    request=DeleteGroupsRequest,
    response=DeleteGroupsResponse,
    first=0,
    last=2,
    flexible_since=2,
)
"""DeleteGroups, as both sides know it."""
