"""AddOffsetsToTxn (25): a transaction is going to commit offsets of this group.

Source: the Kafka protocol, as of 4.1.
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
