"""EndTxn, versions 0 to 5: commit or abort a transaction.

The answer comes when the decision is durable and readers see its markers. Kafka answers before the
markers, so that a consumer may not see what its own program has just committed.

Version 5 (KIP-890) moves the producer on to a new epoch, which it is told; a request of the epoch
before is known for a repeated one, and an abort without a transaction only brings the next epoch.

Before version 5 the epoch stays. Asked again for what has just been done, the answer is the same; but
a request that was delayed beyond the beginning of the producer's next transaction ends that one. No
broker can tell: Jepsen found Kafka's and Bufstream's doing it. What can be told is told: a decision
the other way is INVALID_TXN_STATE, one that is being carried out CONCURRENT_TRANSACTIONS.

Source: KIP-98, KIP-588 (PRODUCER_FENCED, from version 2 on), KIP-890.
"""

from ...coordinator.transaction_state import Epochs, Identity
from ...errors import ConcurrentTransaction, Fenced, InvalidTransactionState
from ...wire.error_codes import ErrorCode
from ...wire.messages.end_txn import EndTxnRequest, EndTxnResponse
from ..node import Caller, Node
from ..waits import Handling
from .fencing import coordinator_code

_FENCED_SINCE = 2
_OWN_EPOCH_SINCE = 5


def end_txn(node: Node, request: EndTxnRequest, caller: Caller) -> Handling[EndTxnResponse]:
    """Decide the transaction and carry that out."""
    if not request.transactional_id:
        return EndTxnResponse(error_code=ErrorCode.INVALID_REQUEST)
    try:
        ended = yield from node.transactions.end(
            request.transactional_id,
            Identity(request.producer_id, request.producer_epoch),
            commit=request.committed,
            epochs=Epochs.AT_DECISION if caller.version >= _OWN_EPOCH_SINCE else Epochs.KEPT,
            now=node.now(),
        )
    except (ConcurrentTransaction, Fenced, InvalidTransactionState) as error:
        return EndTxnResponse(error_code=coordinator_code(error, caller, _FENCED_SINCE))
    return EndTxnResponse(producer_id=ended.producer_id, producer_epoch=ended.producer_epoch)
