"""Manual assignments of partitions to brokers, which can only name the one there is."""

from collections.abc import Sequence

from ...wire.error_codes import ErrorCode
from ..node import Node
from .refusal import Refusal


def check_replicas(node: Node, broker_ids: Sequence[int]) -> None:
    """Raise Refusal for an assignment of a partition to anyone but this broker."""
    if not broker_ids:
        problem = "an empty replica list."
    elif others := [one for one in broker_ids if one != node.settings.node_id]:
        problem = f"broker {others[0]}, but no such broker is registered."
    elif len(broker_ids) > 1:
        problem = f"the broker {broker_ids[0]} more than once."
    else:
        return
    raise Refusal(
        ErrorCode.INVALID_REPLICA_ASSIGNMENT, f"The manual partition assignment includes {problem}"
    )
