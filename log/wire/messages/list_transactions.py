"""ListTransactions (66): which transactional ids this broker coordinates.

    1   only transactions older than so long (KIP-994)
    2   only ids that match a pattern (KIP-1152)

Source: the Kafka protocol, as of 4.1; KIP-664.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Int16, Int32, Int64, Message, Since, String


class ListTransactionsRequest(Message):
    """What a client asks."""

    state_filters: list[String]
    producer_id_filters: list[Int64]
    duration_filter: Annotated[Int64, Since(1)] = -1
    transactional_id_pattern: Annotated[String | None, Since(2)] = None


class TransactionState(Message):
    """One of `ListTransactionsResponse.transaction_states`."""

    transactional_id: String
    producer_id: Int64
    transaction_state: String


class ListTransactionsResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    unknown_state_filters: list[String]
    transaction_states: list[TransactionState]


LIST_TRANSACTIONS: Final = Api(
    key=66,
    name="ListTransactions",
    request=ListTransactionsRequest,
    response=ListTransactionsResponse,
    first=0,
    last=2,
    flexible_since=0,
)
"""ListTransactions, as both sides know it."""
