"""EndTxn (26): commit or abort a transaction.

    2   PRODUCER_FENCED may be answered (KIP-588)
    3   flexible
    4   TRANSACTION_ABORTABLE may be answered (KIP-890)
    5   each transaction has its own producer epoch: the next is in the response (KIP-890, part 2)

Source: the Kafka protocol, as of 4.1; KIP-98.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Bool, Int16, Int32, Int64, Message, Since, String


class EndTxnRequest(Message):
    """What a client asks."""

    transactional_id: String
    producer_id: Int64
    producer_epoch: Int16
    committed: Bool


class EndTxnResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    producer_id: Annotated[Int64, Since(5)] = -1
    producer_epoch: Annotated[Int16, Since(5)] = -1


END_TXN: Final = Api(
    key=26,
    name="EndTxn",
    request=EndTxnRequest,
    response=EndTxnResponse,
    first=0,
    last=5,
    flexible_since=3,
)
"""EndTxn, as both sides know it."""
