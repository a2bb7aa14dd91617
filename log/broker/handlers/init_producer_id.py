"""InitProducerId, versions 0 to 5: an identity for an idempotent or transactional producer.

- Without a transactional id: a producer id that was never used before, epoch 0.
- With one: the caller becomes its owner, in a larger epoch. What the owner before left open is
  aborted first, and waited for. Kafka answers CONCURRENT_TRANSACTIONS meanwhile and lets the client
  ask again; so do we for a second request that comes while the first is under way.
- With the producer's own id and epoch, from version 3 on (KIP-360): it begins anew in the next epoch,
  unless somebody else has taken over. A repeated request gets what the first one was given.
- `transaction_timeout_ms` above `transaction.max.timeout.ms` is INVALID_TRANSACTION_TIMEOUT.
- PRODUCER_FENCED is INVALID_PRODUCER_EPOCH before version 4.

Deviation: a late duplicate of a recovering request, when the owner has long gone on, is refused;
Kafka would abort the owner's transaction.

Source: KIP-98, KIP-360, KIP-588 (PRODUCER_FENCED).
"""

from ...coordinator.transaction_state import NO_PRODUCER, Identity
from ...errors import ConcurrentTransaction, Fenced
from ...wire.error_codes import ErrorCode
from ...wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from ..node import Caller, Node
from ..waits import Handling
from .fencing import coordinator_code

_FENCED_SINCE = 4


def init_producer_id(
    node: Node, request: InitProducerIdRequest, caller: Caller
) -> InitProducerIdResponse | Handling[InitProducerIdResponse]:
    """Hand out a producer id and epoch."""
    if request.transactional_id is not None:
        return _owner_of(node, request, request.transactional_id, caller)
    return InitProducerIdResponse(
        producer_id=node.broker.new_producer_id(node.now()), producer_epoch=0
    )


def _owner_of(
    node: Node, request: InitProducerIdRequest, transactional_id: str, caller: Caller
) -> Handling[InitProducerIdResponse]:
    timeout_ms = request.transaction_timeout_ms
    expected = Identity(request.producer_id, request.producer_epoch)
    if not transactional_id or (expected.producer_id < 0) != (expected.producer_epoch < 0):
        return _refused(ErrorCode.INVALID_REQUEST)
    if not 0 < timeout_ms <= node.settings.transaction_max_timeout_ms:
        return _refused(ErrorCode.INVALID_TRANSACTION_TIMEOUT)
    try:
        owner = yield from node.transactions.init(
            transactional_id,
            timeout_ms=timeout_ms,
            now=node.now(),
            expected=expected if expected.producer_id != NO_PRODUCER else None,
        )
    except (ConcurrentTransaction, Fenced) as error:
        return _refused(coordinator_code(error, caller, _FENCED_SINCE))
    return InitProducerIdResponse(
        producer_id=owner.producer_id, producer_epoch=owner.producer_epoch
    )


def _refused(code: ErrorCode) -> InitProducerIdResponse:
    return InitProducerIdResponse(error_code=code, producer_epoch=-1)
