"""ListGroups (16), versions 0–5: which groups there are.

Since version 4 only those in some states (KIP-518), since 5 only those of some types (KIP-848), on
request; the names of both may be written in any case, and names that do not exist match nothing.
"""

from ...wire.messages.list_groups import ListedGroup, ListGroupsRequest, ListGroupsResponse
from ..node import Caller, Node


def list_groups(node: Node, request: ListGroupsRequest, caller: Caller) -> ListGroupsResponse:
    """List groups by name."""
    del caller
    states = {name.lower() for name in request.states_filter}
    kinds = {name.lower() for name in request.types_filter}
    return ListGroupsResponse(
        groups=[
            ListedGroup(
                group_id=group.group_id,
                protocol_type=group.protocol_type,
                group_state=group.state_name,
                group_type=group.kind.value,
            )
            for group in node.groups
            if (not states or group.state_name.lower() in states)
            and (not kinds or group.kind.value in kinds)
        ]
    )
