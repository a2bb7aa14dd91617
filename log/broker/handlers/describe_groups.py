"""DescribeGroups (15), versions 0–6: state and members of classic groups.

A group that does not exist, or is of another protocol, is *Dead*, and since version 6 an error says so
(KIP-1043). What members can do and what they were assigned is shown while the group is stable.
"""

from ...coordinator.classic_group import ClassicGroup
from ...coordinator.classic_states import DEAD, STABLE
from ...coordinator.group import Group
from ...wire.error_codes import ErrorCode
from ...wire.messages.describe_groups import (
    DescribedGroup,
    DescribedGroupMember,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)
from ..node import Caller, Node
from .authorized import GROUP_OPERATIONS, NOT_ASKED

NOT_FOUND_SINCE = 6


def describe_groups(
    node: Node, request: DescribeGroupsRequest, caller: Caller
) -> DescribeGroupsResponse:
    """Describe each group."""
    operations = GROUP_OPERATIONS if request.include_authorized_operations else NOT_ASKED
    described = []
    for group_id in request.groups:
        group = node.groups.get(group_id)
        if isinstance(group, ClassicGroup):
            described.append(_describe(group, operations))
        else:
            described.append(_dead(group_id, group, caller.version))
    return DescribeGroupsResponse(groups=described)


def _describe(group: ClassicGroup, operations: int) -> DescribedGroup:
    protocol = group.protocol_name if group.state is STABLE else None
    return DescribedGroup(
        group_id=group.group_id,
        group_state=group.state_name,
        protocol_type=group.protocol_type,
        protocol_data=protocol or "",
        members=[
            DescribedGroupMember(
                member_id=member.member_id,
                group_instance_id=member.group_instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                member_metadata=b"" if protocol is None else member.protocols[protocol],
                member_assignment=member.assignment,
            )
            for member in group.members
        ],
        authorized_operations=operations,
    )


def _dead(group_id: str, group: Group | None, version: int) -> DescribedGroup:
    error, message = ErrorCode.NONE, None
    if version >= NOT_FOUND_SINCE:
        error = ErrorCode.GROUP_ID_NOT_FOUND
        message = f"there is no group {group_id!r}"
        if group is not None:
            message = f"group {group_id!r} is a {group.kind.value} group, not a classic one"
    return DescribedGroup(
        error_code=error,
        error_message=message,
        group_id=group_id,
        group_state=DEAD.value,
        protocol_type="",
        protocol_data="",
        members=[],
    )
