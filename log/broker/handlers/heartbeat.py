"""Heartbeat (12), versions 0–4: a member of a classic group is alive.

REBALANCE_IN_PROGRESS tells it to join anew. Version 3 brought static members (KIP-345).
"""

from ...coordinator.classic_group import ClassicGroup
from ...wire.error_codes import ErrorCode
from ...wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from ..node import Caller, Node


def heartbeat(node: Node, request: HeartbeatRequest, caller: Caller) -> HeartbeatResponse:
    """Let the member's session begin anew."""
    del caller
    error = ErrorCode.UNKNOWN_MEMBER_ID
    group = node.groups.get(request.group_id)
    if not request.group_id:
        error = ErrorCode.INVALID_GROUP_ID
    elif isinstance(group, ClassicGroup):
        error = group.heartbeat(
            request.member_id, request.group_instance_id, request.generation_id, node.instant()
        )
    return HeartbeatResponse(error_code=error)
