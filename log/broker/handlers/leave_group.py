"""LeaveGroup (13), versions 0–5: members leave a classic group.

Since version 3 several at once, and static members by their instance id alone, which is how tools
remove them (KIP-345). Version 5 brought reasons, which are not kept here.
"""

from collections.abc import Sequence

from ...coordinator.classic_group import ClassicGroup
from ...wire.error_codes import ErrorCode
from ...wire.messages.leave_group import (
    LeaveGroupRequest,
    LeaveGroupResponse,
    MemberIdentity,
    MemberResponse,
)
from ..node import Caller, Node
from ..waits import Handling

SEVERAL_SINCE = 3


def leave_group(
    node: Node, request: LeaveGroupRequest, caller: Caller
) -> Handling[LeaveGroupResponse]:
    """Let members go; the answer comes when a group that is empty now is written so."""
    if not request.group_id:
        return LeaveGroupResponse(error_code=ErrorCode.INVALID_GROUP_ID)
    several = caller.version >= SEVERAL_SINCE
    who = request.members if several else [MemberIdentity(member_id=request.member_id)]
    group = node.groups.get(request.group_id)
    errors: Sequence[ErrorCode] = [ErrorCode.UNKNOWN_MEMBER_ID] * len(who)
    if isinstance(group, ClassicGroup):
        now = node.instant()
        leaving = group.leave([(each.member_id, each.group_instance_id) for each in who], now)
        errors = yield from node.groups.carry_out(group, leaving, now.timestamp)
    if not several:
        return LeaveGroupResponse(error_code=errors[0])
    return LeaveGroupResponse(
        members=[
            MemberResponse(
                member_id=each.member_id,
                group_instance_id=each.group_instance_id,
                error_code=error,
            )
            for each, error in zip(who, errors, strict=True)
        ]
    )
