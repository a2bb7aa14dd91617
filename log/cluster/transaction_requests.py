"""The requests that a transaction is made of, and what refusals of them mean. Pure.

There are two ways, of which the cluster says which it has (KIP-890, `transaction.version`):

- A producer keeps its epoch. The coordinator must be told of all partitions and groups before anything is
  written to them.
- Each transaction has an epoch of its own, which the end of the one before brings. What is written adds
  itself to the transaction; and what comes too late belongs to an epoch that is over.

Versions of requests are those of the way: brokers take them for the sign of it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeVar

from ..model import CommittedOffset, Place, TopicPartition
from ..wire.api import Api
from ..wire.error_codes import RETRIABLE, ErrorCode
from ..wire.messages.add_partitions_to_txn import (
    ADD_PARTITIONS_TO_TXN,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopic,
)
from ..wire.messages.end_txn import END_TXN, EndTxnRequest, EndTxnResponse
from ..wire.messages.produce import (
    PRODUCE,
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from ..wire.messages.txn_offset_commit import (
    TXN_OFFSET_COMMIT,
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
)
from .outgoing import Batch, Identity

V = TypeVar("V")
Subject = TypeVar("Subject")

ALL_IN_SYNC: Final = -1
FEATURE: Final = "transaction.version"
OWN_EPOCHS_SINCE: Final = 2

FENCES: Final = frozenset(
    {ErrorCode.INVALID_PRODUCER_ID_MAPPING, ErrorCode.TRANSACTIONAL_ID_NOT_FOUND}
)
"""Who hears this is not the owner of its transactional id any more."""

REPLACED: Final = FENCES | {ErrorCode.PRODUCER_FENCED, ErrorCode.INVALID_PRODUCER_EPOCH}
"""The same, when it has asked to begin anew. To other requests the last two may also say that the coordinator
has aborted the transaction, which was open for too long (KIP-588)."""

NOTHING_OPEN: Final = frozenset(
    {
        ErrorCode.INVALID_TXN_STATE,
        ErrorCode.PRODUCER_FENCED,
        ErrorCode.INVALID_PRODUCER_EPOCH,
    }
)
"""What is answered to an abort if there is nothing to abort, be it for another owner's sake."""

NOT_ITS_FAULT: Final = NOTHING_OPEN | {
    ErrorCode.TRANSACTION_ABORTABLE,
    ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
    ErrorCode.DUPLICATE_SEQUENCE_NUMBER,
    ErrorCode.UNKNOWN_PRODUCER_ID,
}
"""What is refused not because of what is to be committed. If this is still the owner, it may do it again."""

ELSEWHERE: Final = frozenset({ErrorCode.NOT_COORDINATOR, ErrorCode.COORDINATOR_NOT_AVAILABLE})

MISSING: Final = frozenset({ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.UNKNOWN_TOPIC_ID})
"""What brokers say of a topic that is gone, or so new that they don't know it yet."""

OPEN_OUTCOME: Final = ELSEWHERE | {
    ErrorCode.UNKNOWN_SERVER_ERROR,
    ErrorCode.NETWORK_EXCEPTION,
    ErrorCode.REQUEST_TIMED_OUT,
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
}
"""Who hears this does not know whether it took place: the broker had begun with it, perhaps."""

OTHERS_FAILED: Final = ErrorCode.OPERATION_NOT_ATTEMPTED


@dataclass(frozen=True, slots=True)
class Way:
    """How transactions go on a cluster."""

    own_epochs: bool
    produce: Api[ProduceRequest, ProduceResponse]
    commit_offsets: Api[TxnOffsetCommitRequest, TxnOffsetCommitResponse]
    end: Api[EndTxnRequest, EndTxnResponse]


EPOCHS_KEPT: Final = Way(
    own_epochs=False,
    produce=replace(PRODUCE, last=11),
    commit_offsets=replace(TXN_OFFSET_COMMIT, last=4),
    end=replace(END_TXN, last=4),
)
OWN_EPOCHS: Final = Way(
    own_epochs=True,
    produce=replace(PRODUCE, first=12, last=12),  # later ones name topics by id
    commit_offsets=replace(TXN_OFFSET_COMMIT, first=5),
    end=replace(END_TXN, first=5),
)

ADD_PARTITIONS: Final = replace(ADD_PARTITIONS_TO_TXN, last=3)
"""Later versions are for brokers among themselves."""


def decisive(codes: Mapping[Subject, int]) -> tuple[Subject, int] | None:
    """Return what was refused, and how: rather something that stays so, and that says why; None if all is well."""
    refused = [(subject, code) for subject, code in codes.items() if code != ErrorCode.NONE]
    return max(refused, key=lambda one: _weight(one[1]), default=None)


def _weight(code: int) -> int:
    if code == OTHERS_FAILED:
        return 0
    return 1 if code in RETRIABLE else 2


class HasCode(Protocol):
    """An answer that is refused, if at all, as a whole."""

    @property
    def error_code(self) -> int: ...


def code_of(subject: str) -> Callable[[HasCode], dict[str, int]]:
    """Return what reads the only code of an answer."""
    return lambda answer: {subject: answer.error_code}


def add_partitions(
    transactional_id: str, identity: Identity, partitions: Iterable[TopicPartition]
) -> AddPartitionsToTxnRequest:
    """Tell the coordinator what will be written to."""
    return AddPartitionsToTxnRequest(
        v3_and_below_transactional_id=transactional_id,
        v3_and_below_producer_id=identity.producer_id,
        v3_and_below_producer_epoch=identity.producer_epoch,
        v3_and_below_topics=[
            AddPartitionsToTxnTopic(name=topic, partitions=list(some))
            for topic, some in _by_topic(dict.fromkeys(partitions)).items()
        ],
    )


def codes_of_partitions(answer: AddPartitionsToTxnResponse) -> dict[TopicPartition, int]:
    """Return what became of each partition."""
    return {
        TopicPartition(topic.name, each.partition_index): each.partition_error_code
        for topic in answer.results_by_topic_v3_and_below
        for each in topic.results_by_partition
    }


def produce(
    transactional_id: str, batches: Mapping[TopicPartition, Batch], timeout_s: float
) -> ProduceRequest:
    """Write a batch to each partition, all of which one broker leads."""
    return ProduceRequest(
        transactional_id=transactional_id,
        acks=ALL_IN_SYNC,
        timeout_ms=int(timeout_s * 1000),
        topic_data=[
            TopicProduceData(
                name=topic,
                partition_data=[
                    PartitionProduceData(index=number, records=memoryview(batch.data))
                    for number, batch in some.items()
                ],
            )
            for topic, some in _by_topic(batches).items()
        ],
    )


def commit_offsets(
    transactional_id: str,
    identity: Identity,
    place: Place,
    offsets: Mapping[TopicPartition, CommittedOffset],
) -> TxnOffsetCommitRequest:
    """Commit offsets of a group, in the name of whoever has this place in it."""
    return TxnOffsetCommitRequest(
        transactional_id=transactional_id,
        group_id=place.group,
        producer_id=identity.producer_id,
        producer_epoch=identity.producer_epoch,
        generation_id=place.generation,
        member_id=place.member_id,
        group_instance_id=place.instance_id,
        topics=[
            TxnOffsetCommitRequestTopic(
                name=topic,
                partitions=[
                    TxnOffsetCommitRequestPartition(
                        partition_index=number,
                        committed_offset=committed.offset,
                        committed_leader_epoch=committed.leader_epoch,
                        committed_metadata=committed.metadata,
                    )
                    for number, committed in some.items()
                ],
            )
            for topic, some in _by_topic(offsets).items()
        ],
    )


def codes_of_offsets(answer: TxnOffsetCommitResponse) -> dict[TopicPartition, int]:
    """Return what became of each partition's offset."""
    return {
        TopicPartition(topic.name, each.partition_index): each.error_code
        for topic in answer.topics
        for each in topic.partitions
    }


def no_member(group: str) -> Place:
    """Return the place of somebody who is no member of a group that has none."""
    return Place(group, generation=-1, member_id="")


def _by_topic(by_partition: Mapping[TopicPartition, V]) -> dict[str, dict[int, V]]:
    topics: dict[str, dict[int, V]] = {}
    for (topic, number), value in by_partition.items():
        topics.setdefault(topic, {})[number] = value
    return topics
