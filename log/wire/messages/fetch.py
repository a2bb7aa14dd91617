"""Fetch (1): read record batches from partitions, waiting for them if asked to.

The broker answers when `min_bytes` are there or `max_wait_ms` are over. In a fetch session, a
client names all partitions once and later only what changes. Followers read from their leader by
it, too.

    4   isolation level, last stable offset, aborted transactions (KIP-98)
    5   log start offset, both ways
    6   KAFKA_STORAGE_ERROR may be answered
    7   fetch sessions (KIP-227)
    9   the leader epoch that the client knows (KIP-320)
    10  zstd may be answered (KIP-110)
    11  the client's rack; a replica it should rather read from (KIP-392)
    12  flexible; diverging epochs (KIP-595)
    13  topic ids in place of names (KIP-516)
    14  OFFSET_MOVED_TO_TIERED_STORAGE may be answered (KIP-405)
    15  the replica's id and epoch as one tagged field (KIP-903)
    16  addresses of other leaders (KIP-951)
    17  the follower's directory id (KIP-853)
    18  the high watermark that the follower knows (KIP-1166)

Source: the Kafka protocol, as of 4.1.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import (
    NO_UUID,
    Int8,
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


class ReplicaState(Message):
    """The `FetchRequest.replica_state`."""

    replica_id: Annotated[Int32, Since(15)] = -1
    replica_epoch: Annotated[Int64, Since(15)] = -1


class FetchPartition(Message):
    """One of `FetchTopic.partitions`."""

    partition: Int32
    current_leader_epoch: Annotated[Int32, Since(9)] = -1
    fetch_offset: Int64
    last_fetched_epoch: Annotated[Int32, Since(12)] = -1
    log_start_offset: Annotated[Int64, Since(5)] = -1
    partition_max_bytes: Int32
    replica_directory_id: Annotated[Uuid, Since(17), Tagged(0)] = NO_UUID
    high_watermark: Annotated[Int64, Since(18), Tagged(1)] = 9223372036854775807


class FetchTopic(Message):
    """One of `FetchRequest.topics`."""

    topic: Annotated[String, Until(12)] = ""
    topic_id: Annotated[Uuid, Since(13)] = NO_UUID
    partitions: list[FetchPartition]


class ForgottenTopic(Message):
    """One of `FetchRequest.forgotten_topics_data`."""

    topic: Annotated[String, Since(7), Until(12)] = ""
    topic_id: Annotated[Uuid, Since(13)] = NO_UUID
    partitions: Annotated[list[Int32], Since(7)] = []


class FetchRequest(Message):
    """What a client asks."""

    cluster_id: Annotated[String | None, Since(12), Tagged(0)] = None
    replica_id: Annotated[Int32, Until(14)] = -1
    replica_state: Annotated[ReplicaState, Since(15), Tagged(1)] = ReplicaState()
    max_wait_ms: Int32
    min_bytes: Int32
    max_bytes: Int32 = 2147483647
    isolation_level: Int8 = 0
    session_id: Annotated[Int32, Since(7)] = 0
    session_epoch: Annotated[Int32, Since(7)] = -1
    topics: list[FetchTopic]
    forgotten_topics_data: Annotated[list[ForgottenTopic], Since(7)] = []
    rack_id: Annotated[String, Since(11)] = ""


class EpochEndOffset(Message):
    """The `PartitionData.diverging_epoch`."""

    epoch: Annotated[Int32, Since(12)] = -1
    end_offset: Annotated[Int64, Since(12)] = -1


class LeaderIdAndEpoch(Message):
    """The `PartitionData.current_leader`."""

    leader_id: Annotated[Int32, Since(12)] = -1
    leader_epoch: Annotated[Int32, Since(12)] = -1


class SnapshotId(Message):
    """The `PartitionData.snapshot_id`."""

    end_offset: Int64 = -1
    epoch: Int32 = -1


class AbortedTransaction(Message):
    """One of `PartitionData.aborted_transactions`."""

    producer_id: Int64
    first_offset: Int64


class PartitionData(Message):
    """One of `FetchableTopicResponse.partitions`."""

    partition_index: Int32
    error_code: Int16 = 0
    high_watermark: Int64
    last_stable_offset: Int64 = -1
    log_start_offset: Annotated[Int64, Since(5)] = -1
    diverging_epoch: Annotated[EpochEndOffset, Since(12), Tagged(0)] = EpochEndOffset()
    current_leader: Annotated[LeaderIdAndEpoch, Since(12), Tagged(1)] = LeaderIdAndEpoch()
    snapshot_id: Annotated[SnapshotId, Since(12), Tagged(2)] = SnapshotId()
    aborted_transactions: list[AbortedTransaction] | None
    preferred_read_replica: Annotated[Int32, Since(11)] = -1
    records: Records | None


class FetchableTopicResponse(Message):
    """One of `FetchResponse.responses`."""

    topic: Annotated[String, Until(12)] = ""
    topic_id: Annotated[Uuid, Since(13)] = NO_UUID
    partitions: list[PartitionData]


class NodeEndpoint(Message):
    """One of `FetchResponse.node_endpoints`."""

    node_id: Annotated[Int32, Since(16)] = 0
    host: Annotated[String, Since(16)] = ""
    port: Annotated[Int32, Since(16)] = 0
    rack: Annotated[String | None, Since(16)] = None


class FetchResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    error_code: Annotated[Int16, Since(7)] = 0
    session_id: Annotated[Int32, Since(7)] = 0
    responses: list[FetchableTopicResponse]
    node_endpoints: Annotated[list[NodeEndpoint], Since(16), Tagged(0)] = []


FETCH: Final = Api(
    key=1,
    name="Fetch",
    request=FetchRequest,
    response=FetchResponse,
    first=4,
    last=18,
    flexible_since=12,
)
"""Fetch, as both sides know it."""
