"""DescribeTransactions, version 0: the state of transactional ids, with what they have open.

Source: KIP-664.
"""

from ...coordinator.transaction_state import Transaction
from ...wire.error_codes import ErrorCode
from ...wire.messages.describe_transactions import (
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    TopicData,
    TransactionState,
)
from ..node import Caller, Node


def describe_transactions(
    node: Node, request: DescribeTransactionsRequest, caller: Caller
) -> DescribeTransactionsResponse:
    """Tell what is known of each of these ids."""
    del caller
    return DescribeTransactionsResponse(
        transaction_states=[_described(node, each) for each in request.transactional_ids]
    )


def _described(node: Node, transactional_id: str) -> TransactionState:
    known = node.transactions.get(transactional_id) if transactional_id else None
    if known is None:
        missing = ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
        return TransactionState(
            error_code=missing if transactional_id else ErrorCode.INVALID_REQUEST,
            transactional_id=transactional_id,
            transaction_state="",
            transaction_timeout_ms=0,
            transaction_start_time_ms=0,
            producer_id=0,
            producer_epoch=0,
            topics=[],
        )
    return TransactionState(
        transactional_id=transactional_id,
        transaction_state=known.status.title,
        transaction_timeout_ms=known.timeout_ms,
        transaction_start_time_ms=known.started,
        producer_id=known.producer_id,
        producer_epoch=known.producer_epoch,
        topics=_by_topic(known),
    )


def _by_topic(transaction: Transaction) -> list[TopicData]:
    numbers: dict[str, list[int]] = {}
    for topic, partition in sorted(transaction.partitions):
        numbers.setdefault(topic, []).append(partition)
    return [TopicData(topic=topic, partitions=those) for topic, those in numbers.items()]
