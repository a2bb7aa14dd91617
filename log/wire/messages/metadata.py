"""Metadata (3): which brokers and topics there are, and who leads which partition.

No list of topics asks for all of them, an empty one for none; in version 0 the empty one asks for
all. Below version 4 topics are created by being asked for, if the broker allows it.

    1   racks, the controller, which topics are internal
    2   cluster id (KIP-78)
    3   throttle time
    4   whether topics may be created
    5   offline replicas (KIP-112)
    7   leader epochs (KIP-320)
    8   authorized operations (KIP-430)
    9   flexible
    10  topic ids in the response (KIP-516)
    11  operations on the cluster are left to DescribeCluster (KIP-700)
    12  topics may be asked for by id
    13  an error of the whole response

Source: the Kafka protocol, as of 4.1.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import NO_UUID, Bool, Int16, Int32, Message, NullableSince, Since, String, Until, Uuid


class MetadataRequestTopic(Message):
    """One of `MetadataRequest.topics`."""

    topic_id: Annotated[Uuid, Since(10)] = NO_UUID
    name: Annotated[String | None, NullableSince(10)]


class MetadataRequest(Message):
    """What a client asks."""

    topics: Annotated[list[MetadataRequestTopic] | None, NullableSince(1)]
    allow_auto_topic_creation: Annotated[Bool, Since(4)] = True
    include_cluster_authorized_operations: Annotated[Bool, Since(8), Until(10)] = False
    include_topic_authorized_operations: Annotated[Bool, Since(8)] = False


class MetadataResponseBroker(Message):
    """One of `MetadataResponse.brokers`."""

    node_id: Int32
    host: String
    port: Int32
    rack: Annotated[String | None, Since(1)] = None


class MetadataResponsePartition(Message):
    """One of `MetadataResponseTopic.partitions`."""

    error_code: Int16 = 0
    partition_index: Int32
    leader_id: Int32
    leader_epoch: Annotated[Int32, Since(7)] = -1
    replica_nodes: list[Int32]
    isr_nodes: list[Int32]
    offline_replicas: Annotated[list[Int32], Since(5)] = []


class MetadataResponseTopic(Message):
    """One of `MetadataResponse.topics`."""

    error_code: Int16 = 0
    name: Annotated[String | None, NullableSince(12)]
    topic_id: Annotated[Uuid, Since(10)] = NO_UUID
    is_internal: Annotated[Bool, Since(1)] = False
    partitions: list[MetadataResponsePartition]
    topic_authorized_operations: Annotated[Int32, Since(8)] = -2147483648


class MetadataResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Annotated[Int32, Since(3)] = 0
    brokers: list[MetadataResponseBroker]
    cluster_id: Annotated[String | None, Since(2)] = None
    controller_id: Annotated[Int32, Since(1)] = -1
    topics: list[MetadataResponseTopic]
    cluster_authorized_operations: Annotated[Int32, Since(8), Until(10)] = -2147483648
    error_code: Annotated[Int16, Since(13)] = 0


METADATA: Final = Api(
    key=3,
    name="Metadata",
    request=MetadataRequest,
    response=MetadataResponse,
    first=0,
    last=13,
    flexible_since=9,
)
"""Metadata, as both sides know it."""
