"""ElectLeaders, versions 0 to 2: nobody else could lead, so no election is ever needed.

- Partitions that are named are answered with ELECTION_NOT_NEEDED, or that they do not exist. Where all
  are asked for (null), Kafka names the topics and leaves out partitions that need none; so here as well.
- A kind of election that nobody knows is INVALID_REQUEST.

Source: KIP-183, KIP-460.
"""

from typing import Final

from ...wire.error_codes import ErrorCode
from ...wire.messages.elect_leaders import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
)
from ..node import Caller, Node

_KINDS: Final = frozenset({0, 1})
"""The preferred leader, or any replica."""


def elect_leaders(node: Node, request: ElectLeadersRequest, caller: Caller) -> ElectLeadersResponse:
    """Say that all is well."""
    del caller
    if request.topic_partitions is None:
        wanted: list[tuple[str, list[int]]] = [(name, []) for name in node.broker.metadata.topics]
    else:
        wanted = [(asked.topic, asked.partitions) for asked in request.topic_partitions]
    kind_is_known = request.election_type in _KINDS
    return ElectLeadersResponse(
        error_code=ErrorCode.NONE if kind_is_known else ErrorCode.INVALID_REQUEST,
        replica_election_results=[
            ReplicaElectionResult(
                topic=name,
                partition_result=[
                    _not_needed(node, name, number)
                    if kind_is_known
                    else _refused(number, f"Unknown election type {request.election_type}")
                    for number in numbers
                ],
            )
            for name, numbers in wanted
        ],
    )


def _not_needed(node: Node, name: str, number: int) -> PartitionResult:
    topic = node.broker.metadata.topics.get(name)
    if topic is None or number not in topic:
        what = f"topic as {name}" if topic is None else f"partition as {name}-{number}"
        return PartitionResult(
            partition_id=number,
            error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
            error_message=f"No such {what}",
        )
    return PartitionResult(
        partition_id=number,
        error_code=ErrorCode.ELECTION_NOT_NEEDED,
        error_message="Leader election not needed for topic partition.",
    )


def _refused(number: int, message: str) -> PartitionResult:
    return PartitionResult(
        partition_id=number, error_code=ErrorCode.INVALID_REQUEST, error_message=message
    )
