"""InitProducerId (22): get a producer id and an epoch, fencing whoever had the transactional id.

Without a transactional id: for an idempotent producer, and nothing is remembered.

    2   flexible
    3   the producer's own id and epoch, to go on after an error (KIP-360)
    4   PRODUCER_FENCED may be answered (KIP-588)
    5   TRANSACTION_ABORTABLE may be answered (KIP-890)
    6   two-phase commit (KIP-939)

Source: the Kafka protocol, as of 4.1; KIP-98.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Bool, Int16, Int32, Int64, Message, Since, String


class InitProducerIdRequest(Message):
    """What a client asks."""

    transactional_id: String | None
    transaction_timeout_ms: Int32
    producer_id: Annotated[Int64, Since(3)] = -1
    producer_epoch: Annotated[Int16, Since(3)] = -1
    enable2_pc: Annotated[Bool, Since(6)] = False
    keep_prepared_txn: Annotated[Bool, Since(6)] = False


class InitProducerIdResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    producer_id: Int64 = -1
    producer_epoch: Int16
    ongoing_txn_producer_id: Annotated[Int64, Since(6)] = -1
    ongoing_txn_producer_epoch: Annotated[Int16, Since(6)] = -1


INIT_PRODUCER_ID: Final = Api(
    key=22,
    name="InitProducerId",
    request=InitProducerIdRequest,
    response=InitProducerIdResponse,
    first=0,
    last=6,
    flexible_since=2,
)
"""InitProducerId, as both sides know it."""
