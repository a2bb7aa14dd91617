"""Which partitions a Produce request may write to in a transaction: the guard of KIP-890.

The coordinator must have the partition in an open transaction of that producer id and epoch, durably;
else a late batch would begin a transaction that nobody ends. What is admitted here holds until the
handler's next step, so the batch has to be appended before.
"""

from collections.abc import Collection
from typing import Final

from ...coordinator.transaction_state import Identity
from ...errors import ConcurrentTransaction, Fenced
from ...model import TopicPartition
from ...wire.error_codes import ErrorCode
from ..node import Node
from ..steps import Steps
from .failures import error_code

_IMPLICIT_SINCE: Final = 12
"""The version of Produce from which on a partition is added by writing to it (KIP-890)."""

_ABORTABLE_SINCE: Final = 11
"""The version of Produce from which on clients know TRANSACTION_ABORTABLE."""


def refused_partitions(
    node: Node,
    transactional_id: str,
    identity: Identity,
    partitions: Collection[TopicPartition],
    version: int,
) -> Steps[dict[TopicPartition, ErrorCode]]:
    """Return what must not be written to, and why, as a version of Produce says it."""
    implicit = version >= _IMPLICIT_SINCE
    try:
        admitted = yield from node.transactions.admitted(
            transactional_id, identity, partitions, add=implicit, now=node.now()
        )
    except Fenced as error:
        return dict.fromkeys(partitions, error_code(error))
    except ConcurrentTransaction as error:
        # Older clients would not ask again for that one, but for this they do.
        code = error_code(error) if implicit else ErrorCode.NOT_ENOUGH_REPLICAS
        return dict.fromkeys(partitions, code)
    abortable = version >= _ABORTABLE_SINCE
    code = ErrorCode.TRANSACTION_ABORTABLE if abortable else ErrorCode.INVALID_TXN_STATE
    return {partition: code for partition in partitions if partition not in admitted}
