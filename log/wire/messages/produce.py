"""Produce (0): append record batches to partitions.

The client sends batches as they shall be stored; `acks` says who must have them before it is told:
nobody (0: there is no response at all), the leader (1), all in-sync replicas (-1).

    3   transactional id; batches of magic 2 only
    4   KAFKA_STORAGE_ERROR may be answered
    5   log start offset in the response
    7   zstd may be used
    8   which records were refused, and why (KIP-467)
    9   flexible
    10  the current leader and its address, where it is another (KIP-951)
    11  TRANSACTION_ABORTABLE may be answered (KIP-890)
    12  in a transaction, also what AddPartitionsToTxn does (KIP-890, part 2)
    13  topic ids in place of names (KIP-516)

Source: the Kafka protocol, as of 4.1; KIP-98 for batches and transactions.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import (
    NO_UUID,
    Int16,
    Int32,
    Int64,
    Message,
    Records,
    Since,
    String,
    Tagged,
    Until,
    Uuid,
)


class PartitionProduceData(Message):
    """One of `TopicProduceData.partition_data`."""

    index: Int32
    records: Records | None


class TopicProduceData(Message):
    """One of `ProduceRequest.topic_data`."""

    name: Annotated[String, Until(12)] = ""
    topic_id: Annotated[Uuid, Since(13)] = NO_UUID
    partition_data: list[PartitionProduceData]


class ProduceRequest(Message):
    """What a client asks."""

    transactional_id: String | None = None
    acks: Int16
    timeout_ms: Int32
    topic_data: list[TopicProduceData]


class BatchIndexAndErrorMessage(Message):
    """One of `PartitionProduceResponse.record_errors`."""

    batch_index: Annotated[Int32, Since(8)] = 0
    batch_index_error_message: Annotated[String | None, Since(8)] = None


class LeaderIdAndEpoch(Message):
    """The `PartitionProduceResponse.current_leader`."""

    leader_id: Annotated[Int32, Since(10)] = -1
    leader_epoch: Annotated[Int32, Since(10)] = -1


class PartitionProduceResponse(Message):
    """One of `TopicProduceResponse.partition_responses`."""

    index: Int32
    error_code: Int16 = 0
    base_offset: Int64
    log_append_time_ms: Int64 = -1
    log_start_offset: Annotated[Int64, Since(5)] = -1
    record_errors: Annotated[list[BatchIndexAndErrorMessage], Since(8)] = []
    error_message: Annotated[String | None, Since(8)] = None
    current_leader: Annotated[LeaderIdAndEpoch, Since(10), Tagged(0)] = LeaderIdAndEpoch()


class TopicProduceResponse(Message):
    """One of `ProduceResponse.responses`."""

    name: Annotated[String, Until(12)] = ""
    topic_id: Annotated[Uuid, Since(13)] = NO_UUID
    partition_responses: list[PartitionProduceResponse]


class NodeEndpoint(Message):
    """One of `ProduceResponse.node_endpoints`."""

    node_id: Annotated[Int32, Since(10)] = 0
    host: Annotated[String, Since(10)] = ""
    port: Annotated[Int32, Since(10)] = 0
    rack: Annotated[String | None, Since(10)] = None


class ProduceResponse(Message):
    """What the broker answers."""

    responses: list[TopicProduceResponse]
    throttle_time_ms: Int32 = 0
    node_endpoints: Annotated[list[NodeEndpoint], Since(10), Tagged(0)] = []


PRODUCE: Final = Api(
    key=0,
    name="Produce",
    request=ProduceRequest,
    response=ProduceResponse,
    first=3,
    last=13,
    flexible_since=9,
)
"""Produce, as both sides know it."""
