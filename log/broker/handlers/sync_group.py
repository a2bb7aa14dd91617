"""SyncGroup (14), versions 0–5: bring or get the assignment of a classic group's generation.

The leader brings it for all; the others wait until it is on disk. Version 3 brought static members
(KIP-345), 5 the protocol's type and name, which from then on must be given and agree (KIP-559).
"""

from ...coordinator.classic_group import ClassicGroup
from ...coordinator.classic_messages import SyncAnswer, Syncing
from ...wire.error_codes import ErrorCode
from ...wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse
from ..node import Caller, Node
from ..waits import Handling, Promise

PROTOCOL_SINCE = 5


def sync_group(
    node: Node, request: SyncGroupRequest, caller: Caller
) -> Handling[SyncGroupResponse]:
    """Hand over the assignment, or wait for it."""
    names_protocol = request.protocol_type is not None and request.protocol_name is not None
    if caller.version >= PROTOCOL_SINCE and not names_protocol:
        return _response(SyncAnswer(ErrorCode.INCONSISTENT_GROUP_PROTOCOL))
    if not request.group_id:
        return _response(SyncAnswer(ErrorCode.INVALID_GROUP_ID))
    group = node.groups.get(request.group_id)
    if not isinstance(group, ClassicGroup):
        return _response(SyncAnswer(ErrorCode.UNKNOWN_MEMBER_ID))
    reply: Promise[SyncAnswer] = Promise()
    now = node.instant()
    asked = Syncing(
        request.member_id,
        request.group_instance_id,
        request.generation_id,
        request.protocol_type,
        request.protocol_name,
        {each.member_id: bytes(each.assignment) for each in request.assignments},
    )
    yield from node.groups.carry_out(group, group.sync(asked, reply, now), now.timestamp)
    answer = yield reply
    return _response(answer)


def _response(answer: SyncAnswer) -> SyncGroupResponse:
    return SyncGroupResponse(
        error_code=answer.error,
        protocol_type=answer.protocol_type,
        protocol_name=answer.protocol_name,
        assignment=answer.assignment,
    )
