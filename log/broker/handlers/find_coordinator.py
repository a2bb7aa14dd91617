"""FindCoordinator (10), versions 0–6: which broker coordinates a group or a transactional id.

On a single node it is always this one, at the address by which the client reached it. Version 4 asks
for several at once (KIP-699). Version 0 must stay: without it librdkafka takes the broker for one from
before lz4. Groups that share records (KIP-932, key type 2) are not served.
"""

from ...wire.error_codes import ErrorCode
from ...wire.messages.find_coordinator import (
    Coordinator,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)
from ..node import Caller, Node

GROUP = 0
TRANSACTION = 1


def find_coordinator(
    node: Node, request: FindCoordinatorRequest, caller: Caller
) -> FindCoordinatorResponse:
    """Answer for each key."""
    if caller.version >= 4:
        return FindCoordinatorResponse(
            coordinators=[
                _coordinator(node, caller, request.key_type, key)
                for key in request.coordinator_keys
            ]
        )
    found = _coordinator(node, caller, request.key_type, request.key)
    return FindCoordinatorResponse(
        error_code=found.error_code,
        error_message=found.error_message,
        node_id=found.node_id,
        host=found.host,
        port=found.port,
    )


def _coordinator(node: Node, caller: Caller, key_type: int, key: str) -> Coordinator:
    if key_type not in (GROUP, TRANSACTION):
        return Coordinator(
            key=key,
            node_id=-1,
            port=-1,
            error_code=ErrorCode.INVALID_REQUEST,
            error_message=f"key type {key_type}: here are groups (0) and transactional ids (1)",
        )
    return Coordinator(
        key=key,
        node_id=node.settings.node_id,
        host=caller.endpoint.host,
        port=caller.endpoint.port,
        error_message=None if caller.version < 4 else "",
    )
