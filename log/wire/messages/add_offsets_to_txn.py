"""AddOffsetsToTxn (25): tell the coordinator that a transaction will commit a group's offsets.

    2   PRODUCER_FENCED may be answered (KIP-588)
    3   flexible
    4   TRANSACTION_ABORTABLE may be answered (KIP-890)

Source: the Kafka protocol, as of 4.1; KIP-98.
"""

from typing import Final

from ..api import Api
from ..schema import Int16, Int32, Int64, Message, String


class AddOffsetsToTxnRequest(Message):
    """What a client asks."""

    transactional_id: String
    producer_id: Int64
    producer_epoch: Int16
    group_id: String


class AddOffsetsToTxnResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0


ADD_OFFSETS_TO_TXN: Final = Api(
    key=25,
    name="AddOffsetsToTxn",
    request=AddOffsetsToTxnRequest,
    response=AddOffsetsToTxnResponse,
    first=0,
    last=4,
    flexible_since=3,
)
"""AddOffsetsToTxn, as both sides know it."""
