"""AddOffsetsToTxn, versions 0 to 4: a transaction is going to commit offsets of this group.

It adds the partition that keeps the group's offsets, as AddPartitionsToTxn does the others. Clients
of KIP-890's second part leave it to TxnOffsetCommit.

Source: KIP-98, KIP-588 (PRODUCER_FENCED, from version 2 on).
"""

from ...coordinator.transaction_state import Identity
from ...errors import ConcurrentTransaction, Fenced
from ...wire.error_codes import ErrorCode
from ...wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest, AddOffsetsToTxnResponse
from ..node import Caller, Node
from ..waits import Handling
from .fencing import coordinator_code

_FENCED_SINCE = 2


def add_offsets_to_txn(
    node: Node, request: AddOffsetsToTxnRequest, caller: Caller
) -> Handling[AddOffsetsToTxnResponse]:
    """Add the group's partition of `__consumer_offsets`."""
    if not request.transactional_id or not request.group_id:
        invalid = ErrorCode.INVALID_GROUP_ID if request.transactional_id else None
        return AddOffsetsToTxnResponse(error_code=invalid or ErrorCode.INVALID_REQUEST)
    try:
        yield from node.transactions.add_partitions(
            request.transactional_id,
            Identity(request.producer_id, request.producer_epoch),
            {node.offsets.partition_of(request.group_id)},
            node.now(),
        )
    except (ConcurrentTransaction, Fenced) as error:
        return AddOffsetsToTxnResponse(error_code=coordinator_code(error, caller, _FENCED_SINCE))
    return AddOffsetsToTxnResponse()
