"""DeleteGroups (42), versions 0–2: forget groups without members, and their offsets (KIP-229)."""

from ...wire.error_codes import ErrorCode
from ...wire.messages.delete_groups import (
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
)
from ..node import Caller, Node
from ..waits import Handling


def delete_groups(
    node: Node, request: DeleteGroupsRequest, caller: Caller
) -> Handling[DeleteGroupsResponse]:
    """Forget each group that is empty; the answer comes when that is on disk."""
    del caller
    errors: dict[str, ErrorCode] = {}
    touched = set()
    for group_id in dict.fromkeys(request.groups_names):
        group = node.groups.get(group_id)
        if group is None:
            errors[group_id] = ErrorCode.GROUP_ID_NOT_FOUND
        elif not group.is_empty:
            errors[group_id] = ErrorCode.NON_EMPTY_GROUP
        else:
            errors[group_id] = ErrorCode.NONE
            touched.add(node.groups.delete(group, node.now()))
    yield touched
    return DeleteGroupsResponse(
        results=[
            DeletableGroupResult(group_id=group_id, error_code=error)
            for group_id, error in errors.items()
        ]
    )
