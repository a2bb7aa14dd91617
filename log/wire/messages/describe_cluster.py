"""DescribeCluster (60): cluster id, controller and brokers.

    1   asked of brokers (1) or controllers (2) (KIP-919)
    2   also brokers that are fenced (KIP-1073)

Source: the Kafka protocol, as of 4.1; KIP-700.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Bool, Int8, Int16, Int32, Message, Since, String


class DescribeClusterRequest(Message):
    """What a client asks."""

    include_cluster_authorized_operations: Bool
    endpoint_type: Annotated[Int8, Since(1)] = 1
    include_fenced_brokers: Annotated[Bool, Since(2)] = False


class DescribeClusterBroker(Message):
    """One of `DescribeClusterResponse.brokers`."""

    broker_id: Int32
    host: String
    port: Int32
    rack: String | None = None
    is_fenced: Annotated[Bool, Since(2)] = False


class DescribeClusterResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    error_message: String | None = None
    endpoint_type: Annotated[Int8, Since(1)] = 1
    cluster_id: String
    controller_id: Int32 = -1
    brokers: list[DescribeClusterBroker]
    cluster_authorized_operations: Int32 = -2147483648


DESCRIBE_CLUSTER: Final = Api(
    key=60,
    name="DescribeCluster",
    request=DescribeClusterRequest,
    response=DescribeClusterResponse,
    first=0,
    last=2,
    flexible_since=0,
)
"""DescribeCluster, as both sides know it."""
