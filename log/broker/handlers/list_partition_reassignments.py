"""ListPartitionReassignments, version 0: no partition is on its way to another broker.

Source: KIP-455.
"""

from ...wire.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
)
from ..node import Caller, Node


def list_partition_reassignments(
    node: Node, request: ListPartitionReassignmentsRequest, caller: Caller
) -> ListPartitionReassignmentsResponse:
    """List none."""
    del node, request, caller
    return ListPartitionReassignmentsResponse(topics=[])
