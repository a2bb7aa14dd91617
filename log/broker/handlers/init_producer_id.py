"""InitProducerId (22): an identity for an idempotent or transactional producer.

Versions 0–5. Without a transactional id the answer is a fresh producer id (KIP-98).
"""

from ...wire.error_codes import ErrorCode
from ...wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from ..node import Caller, Node


def init_producer_id(
    node: Node, request: InitProducerIdRequest, caller: Caller
) -> InitProducerIdResponse:
    """Hand out a producer id."""
    del caller
    if request.transactional_id is not None:
        return InitProducerIdResponse(
            error_code=ErrorCode.COORDINATOR_NOT_AVAILABLE, producer_epoch=-1
        )
    return InitProducerIdResponse(
        producer_id=node.broker.new_producer_id(node.now()), producer_epoch=0
    )
