"""A transactional producer of the old protocol and of the new one, request by request.

    writer = Writer(world, "w")
    writer.init()
    writer.add(ORDERS)
    assert writer.write(ORDERS, b"paid") is NONE
    assert writer.end(commit=True) is NONE

It does nothing by itself but count sequence numbers, so a test may also do what no proper client
would: leave out a step, repeat one, or keep a copy of a request and send it much later.
"""

from collections.abc import Mapping

from millpond.log.broker.delivery import fetch
from millpond.log.coordinator.transaction_state import Identity
from millpond.log.model import Compression, Isolation, NewRecord, TopicPartition
from millpond.log.records import encode_batch
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.add_offsets_to_txn import (
    ADD_OFFSETS_TO_TXN,
    AddOffsetsToTxnRequest,
)
from millpond.log.wire.messages.add_partitions_to_txn import (
    ADD_PARTITIONS_TO_TXN,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
)
from millpond.log.wire.messages.end_txn import END_TXN, EndTxnRequest
from millpond.log.wire.messages.init_producer_id import INIT_PRODUCER_ID, InitProducerIdRequest
from millpond.log.wire.messages.produce import (
    PRODUCE,
    PartitionProduceData,
    ProduceRequest,
    TopicProduceData,
)
from millpond.log.wire.messages.txn_offset_commit import (
    TXN_OFFSET_COMMIT,
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)

from tests.twins.node_world import NodeWorld

OLD, NEW = "v1", "v2"
PRODUCE_VERSION = {OLD: 9, NEW: 12}
END_VERSION = {OLD: 3, NEW: 5}
COMMIT_VERSION = {OLD: 3, NEW: 5}


class Writer:
    """One producer with a transactional id."""

    def __init__(
        self,
        world: NodeWorld,
        transactional_id: str,
        *,
        timeout_ms: int = 60_000,
        protocol: str = OLD,
    ) -> None:
        self.world = world
        self.transactional_id = transactional_id
        self.timeout_ms = timeout_ms
        self.protocol = protocol
        self.identity = Identity(-1, -1)
        self.sequences: dict[TopicPartition, int] = {}

    def become(self, producer_id: int, producer_epoch: int) -> None:
        """Go on under this identity; a new one counts from 0."""
        if self.identity != (producer_id, producer_epoch):
            self.sequences.clear()
        self.identity = Identity(producer_id, producer_epoch)

    def init(self, *, recover: bool = False, version: int = 4) -> ErrorCode:
        """Ask for an identity."""
        response = self.world.ask(INIT_PRODUCER_ID, version, self.init_request(recover=recover))
        if not response.error_code:
            self.become(response.producer_id, response.producer_epoch)
        return ErrorCode(response.error_code)

    def add(self, *partitions: TopicPartition, version: int = 3) -> ErrorCode:
        """Add partitions; return the answer for the first."""
        response = self.world.ask(ADD_PARTITIONS_TO_TXN, version, self.add_request(*partitions))
        [topic, *_more] = response.results_by_topic_v3_and_below
        return ErrorCode(topic.results_by_partition[0].partition_error_code)

    def write(
        self, partition: TopicPartition, *values: bytes, version: int | None = None
    ) -> ErrorCode:
        """Produce records to one partition."""
        request = self.write_request(partition, *values)
        version = version or PRODUCE_VERSION[self.protocol]
        response = self.world.ask(PRODUCE, version, request)
        code = ErrorCode(response.responses[0].partition_responses[0].error_code)
        if code is ErrorCode.NONE:
            self.wrote(partition, len(values))
        return code

    def wrote(self, partition: TopicPartition, count: int) -> None:
        """Count what was appended."""
        self.sequences[partition] = self.sequences.get(partition, 0) + count

    def add_offsets(self, group: str, *, version: int = 3) -> ErrorCode:
        """Add a group."""
        response = self.world.ask(ADD_OFFSETS_TO_TXN, version, self.add_offsets_request(group))
        return ErrorCode(response.error_code)

    def commit_offsets(
        self,
        group: str,
        offsets: Mapping[TopicPartition, int],
        *,
        generation: int = -1,
        member_id: str = "",
        version: int | None = None,
    ) -> ErrorCode:
        """Commit offsets in the transaction; return the answer for the first."""
        request = self.commit_offsets_request(
            group, offsets, generation=generation, member_id=member_id
        )
        version = version or COMMIT_VERSION[self.protocol]
        response = self.world.ask(TXN_OFFSET_COMMIT, version, request)
        return ErrorCode(response.topics[0].partitions[0].error_code)

    def end(self, *, commit: bool, version: int | None = None) -> ErrorCode:
        """Commit or abort; take over the identity that is answered."""
        version = version or END_VERSION[self.protocol]
        response = self.world.ask(END_TXN, version, self.end_request(commit=commit))
        if response.producer_id >= 0:
            self.become(response.producer_id, response.producer_epoch)
        return ErrorCode(response.error_code)

    # -- requests ------------------------------------------------------------------------------

    def init_request(self, *, recover: bool = False) -> InitProducerIdRequest:
        known = self.identity if recover else Identity(-1, -1)
        return InitProducerIdRequest(
            transactional_id=self.transactional_id,
            transaction_timeout_ms=self.timeout_ms,
            producer_id=known.producer_id,
            producer_epoch=known.producer_epoch,
        )

    def add_request(self, *partitions: TopicPartition) -> AddPartitionsToTxnRequest:
        return AddPartitionsToTxnRequest(
            v3_and_below_transactional_id=self.transactional_id,
            v3_and_below_producer_id=self.identity.producer_id,
            v3_and_below_producer_epoch=self.identity.producer_epoch,
            v3_and_below_topics=[
                AddPartitionsToTxnTopic(name=topic, partitions=[number])
                for topic, number in partitions
            ],
        )

    def write_request(self, partition: TopicPartition, *values: bytes) -> ProduceRequest:
        now = self.world.clock.now()
        batch = encode_batch(
            [NewRecord(None, value, now) for value in values],
            producer_id=self.identity.producer_id,
            producer_epoch=self.identity.producer_epoch,
            base_sequence=self.sequences.get(partition, 0),
            transactional=True,
            compression=Compression.NONE,
        )
        return ProduceRequest(
            transactional_id=self.transactional_id,
            acks=-1,
            timeout_ms=1000,
            topic_data=[
                TopicProduceData(
                    name=partition.topic,
                    partition_data=[
                        PartitionProduceData(index=partition.partition, records=bytes(batch))
                    ],
                )
            ],
        )

    def add_offsets_request(self, group: str) -> AddOffsetsToTxnRequest:
        return AddOffsetsToTxnRequest(
            transactional_id=self.transactional_id,
            producer_id=self.identity.producer_id,
            producer_epoch=self.identity.producer_epoch,
            group_id=group,
        )

    def commit_offsets_request(
        self,
        group: str,
        offsets: Mapping[TopicPartition, int],
        *,
        generation: int = -1,
        member_id: str = "",
    ) -> TxnOffsetCommitRequest:
        return TxnOffsetCommitRequest(
            transactional_id=self.transactional_id,
            group_id=group,
            producer_id=self.identity.producer_id,
            producer_epoch=self.identity.producer_epoch,
            generation_id=generation,
            member_id=member_id,
            topics=[
                TxnOffsetCommitRequestTopic(
                    name=topic,
                    partitions=[
                        TxnOffsetCommitRequestPartition(
                            partition_index=number, committed_offset=offset, committed_metadata=None
                        )
                    ],
                )
                for (topic, number), offset in offsets.items()
            ],
        )

    def end_request(self, *, commit: bool) -> EndTxnRequest:
        return EndTxnRequest(
            transactional_id=self.transactional_id,
            producer_id=self.identity.producer_id,
            producer_epoch=self.identity.producer_epoch,
            committed=commit,
        )


def visible(world: NodeWorld, partition: TopicPartition) -> list[bytes]:
    """Return what a read_committed consumer gets of a partition."""
    log = world.node.broker.partition(partition)
    offset, found = log.log_start_offset, []
    while offset < log.last_stable_offset:
        fetched, _size = fetch(log, offset, 1 << 16, Isolation.READ_COMMITTED)
        found += [record.value or b"" for record in fetched.records]
        offset = fetched.next_offset
    return found
