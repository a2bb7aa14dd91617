"""ListTransactions, versions 0 to 2: which transactional ids there are.

All filters must agree: states by their names (unknown ones are named in the answer), producer ids,
from version 1 on how long the transaction has run, from version 2 on a regular expression for the
whole id, RE2's as everywhere in the broker. Kafka's is Java's.

The duration counts from the beginning of the id's last transaction, though that may have ended.

Source: KIP-664, KIP-994 (duration), KIP-1152 (pattern).
"""

from ...coordinator.topic_patterns import InvalidPattern, check_pattern, matching_topics
from ...coordinator.transaction_state import Status, Transaction
from ...model import Timestamp
from ...wire.error_codes import ErrorCode
from ...wire.messages.list_transactions import (
    ListTransactionsRequest,
    ListTransactionsResponse,
    TransactionState,
)
from ..node import Caller, Node

_STATES = {status.title: status for status in Status}


def list_transactions(
    node: Node, request: ListTransactionsRequest, caller: Caller
) -> ListTransactionsResponse:
    """List those that pass all filters."""
    del caller
    known = [each for each in node.transactions if _passes(each, request, node.now())]
    pattern = request.transactional_id_pattern
    if pattern:
        try:
            check_pattern(pattern)
        except InvalidPattern:
            return ListTransactionsResponse(
                error_code=ErrorCode.INVALID_REGULAR_EXPRESSION,
                unknown_state_filters=[],
                transaction_states=[],
            )
        matching = matching_topics(pattern, [each.transactional_id for each in known])
        known = [each for each in known if each.transactional_id in matching]
    return ListTransactionsResponse(
        unknown_state_filters=[name for name in request.state_filters if name not in _STATES],
        transaction_states=[
            TransactionState(
                transactional_id=each.transactional_id,
                producer_id=each.producer_id,
                transaction_state=each.status.title,
            )
            for each in known
        ],
    )


def _passes(transaction: Transaction, request: ListTransactionsRequest, now: Timestamp) -> bool:
    states = {_STATES[name] for name in request.state_filters if name in _STATES}
    if request.state_filters and transaction.status not in states:
        return False
    if request.producer_id_filters and transaction.producer_id not in request.producer_id_filters:
        return False
    return request.duration_filter < 0 or now - transaction.started > request.duration_filter
