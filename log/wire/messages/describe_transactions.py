"""DescribeTransactions (65): state and partitions of transactional ids.

Source: the Kafka protocol, as of 4.1; KIP-664.
"""

from typing import Final

from ..api import Api
from ..schema import Int16, Int32, Int64, Message, String


class DescribeTransactionsRequest(Message):
    """What a client asks."""

    transactional_ids: list[String]


class TopicData(Message):
    """One of `TransactionState.topics`."""

    topic: String
    partitions: list[Int32]


class TransactionState(Message):
    """One of `DescribeTransactionsResponse.transaction_states`."""

    error_code: Int16 = 0
    transactional_id: String
    transaction_state: String
    transaction_timeout_ms: Int32
    transaction_start_time_ms: Int64
    producer_id: Int64
    producer_epoch: Int16
    topics: list[TopicData]


class DescribeTransactionsResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    transaction_states: list[TransactionState]


DESCRIBE_TRANSACTIONS: Final = Api(
    key=65,
    name="DescribeTransactions",
    request=DescribeTransactionsRequest,
    response=DescribeTransactionsResponse,
    first=0,
    last=0,
    flexible_since=0,
)
"""DescribeTransactions, as both sides know it."""
