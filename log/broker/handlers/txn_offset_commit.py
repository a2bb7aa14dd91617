"""TxnOffsetCommit, versions 0 to 5: commit a group's offsets as part of a transaction.

They are pending until the transaction's marker stands behind them. The group's partition of
`__consumer_offsets` must have been added by AddOffsetsToTxn; from version 5 on this request adds it
(KIP-890). From version 3 on the group checks who commits (KIP-447): the member, in its generation.

A fenced producer is INVALID_PRODUCER_EPOCH in all versions. A transaction that does not have the
group is TRANSACTION_ABORTABLE, before version 4 INVALID_TXN_STATE.

Source: KIP-98, KIP-447, KIP-890.
"""

from collections.abc import Mapping

from ...coordinator.group import CommitAs
from ...coordinator.offsets import is_too_large
from ...coordinator.transaction_state import Identity
from ...errors import ConcurrentTransaction, Fenced
from ...model import CommittedOffset, TopicPartition
from ...wire.error_codes import ErrorCode
from ...wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)
from ..node import Caller, Node
from ..waits import Handling
from .failures import error_code

_ABORTABLE_SINCE = 4
_IMPLICIT_SINCE = 5


def txn_offset_commit(
    node: Node, request: TxnOffsetCommitRequest, caller: Caller
) -> Handling[TxnOffsetCommitResponse]:
    """Append the offsets that may be committed, and wait for the disk."""
    refused: dict[TopicPartition, ErrorCode] = {}
    offsets: dict[TopicPartition, CommittedOffset] = {}
    for topic in request.topics:
        for asked in topic.partitions:
            partition = TopicPartition(topic.name, asked.partition_index)
            code = _code_for(node, partition, asked)
            if code is not ErrorCode.NONE:
                refused[partition] = code
            else:
                offsets[partition] = CommittedOffset(
                    asked.committed_offset,
                    asked.committed_leader_epoch,
                    asked.committed_metadata or "",
                )
    if offsets:
        code = yield from _commit(node, request, caller, offsets)
        refused |= dict.fromkeys(offsets, code)
    return _response(request, refused)


def _commit(
    node: Node,
    request: TxnOffsetCommitRequest,
    caller: Caller,
    offsets: Mapping[TopicPartition, CommittedOffset],
) -> Handling[ErrorCode]:
    if not request.transactional_id:
        return ErrorCode.INVALID_REQUEST
    if not request.group_id:
        return ErrorCode.INVALID_GROUP_ID
    home = node.offsets.partition_of(request.group_id)
    try:
        admitted = yield from node.transactions.admitted(
            request.transactional_id,
            Identity(request.producer_id, request.producer_epoch),
            {home},
            add=caller.version >= _IMPLICIT_SINCE,
            now=node.now(),
        )
    except Fenced as error:
        return error_code(error)
    except ConcurrentTransaction as error:
        if caller.version >= _IMPLICIT_SINCE:
            return error_code(error)
        return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS  # which clients of all ages ask again for
    if home not in admitted:
        abortable = caller.version >= _ABORTABLE_SINCE
        return ErrorCode.TRANSACTION_ABORTABLE if abortable else ErrorCode.INVALID_TXN_STATE
    code = _group_code(node, request, caller)
    if code is not ErrorCode.NONE:
        return code
    transaction = node.transactions.get(request.transactional_id)
    assert transaction is not None
    yield [node.offsets.commit_in(transaction, request.group_id, offsets, node.now())]
    return ErrorCode.NONE


def _code_for(
    node: Node, partition: TopicPartition, asked: TxnOffsetCommitRequestPartition
) -> ErrorCode:
    if partition not in node.broker.partitions:
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if is_too_large(asked.committed_metadata or "", node.settings.offset_metadata_max_bytes):
        return ErrorCode.OFFSET_METADATA_TOO_LARGE
    return ErrorCode.NONE


def _group_code(node: Node, request: TxnOffsetCommitRequest, caller: Caller) -> ErrorCode:
    """Ask the group; producers know only the classic protocol's word for an old epoch."""
    code = node.groups.check_commit(
        request.group_id,
        CommitAs(
            request.member_id,
            request.group_instance_id,
            request.generation_id,
            transactional=True,
        ),
        caller.version,
    )
    return ErrorCode.ILLEGAL_GENERATION if code is ErrorCode.STALE_MEMBER_EPOCH else code


def _response(
    request: TxnOffsetCommitRequest, codes: Mapping[TopicPartition, ErrorCode]
) -> TxnOffsetCommitResponse:
    return TxnOffsetCommitResponse(
        topics=[
            TxnOffsetCommitResponseTopic(
                name=topic.name,
                partitions=[
                    TxnOffsetCommitResponsePartition(
                        partition_index=asked.partition_index,
                        error_code=codes[TopicPartition(topic.name, asked.partition_index)],
                    )
                    for asked in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )
