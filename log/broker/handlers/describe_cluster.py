"""DescribeCluster, versions 0 to 2: the brokers of the cluster, which is this one.

The client learns the address by which it has come. Who asks for controllers is told that it has asked
a broker, as Kafka tells it.

Source: KIP-700; KIP-919 (kinds of endpoints); KIP-1073 (fenced brokers: there are none).
"""

from typing import Final

from ...wire.error_codes import ErrorCode
from ...wire.messages.describe_cluster import (
    DescribeClusterBroker,
    DescribeClusterRequest,
    DescribeClusterResponse,
)
from ..node import Caller, Node
from .authorized import CLUSTER_OPERATIONS, NOT_ASKED

BROKERS: Final = 1
CONTROLLERS: Final = 2


def describe_cluster(
    node: Node, request: DescribeClusterRequest, caller: Caller
) -> DescribeClusterResponse:
    """Say who is there."""
    if request.endpoint_type == CONTROLLERS:
        return _refused(
            ErrorCode.MISMATCHED_ENDPOINT_TYPE,
            "The request was sent to an endpoint of type BROKER, "
            "but we wanted an endpoint of type CONTROLLER",
        )
    if request.endpoint_type != BROKERS:
        return _refused(
            ErrorCode.UNSUPPORTED_ENDPOINT_TYPE,
            f"Unsupported endpoint type {request.endpoint_type}",
        )
    node_id = node.settings.node_id
    return DescribeClusterResponse(
        cluster_id=node.cluster_id,
        controller_id=node_id,
        brokers=[
            DescribeClusterBroker(
                broker_id=node_id, host=caller.endpoint.host, port=caller.endpoint.port
            )
        ],
        cluster_authorized_operations=(
            CLUSTER_OPERATIONS if request.include_cluster_authorized_operations else NOT_ASKED
        ),
    )


def _refused(code: ErrorCode, message: str) -> DescribeClusterResponse:
    return DescribeClusterResponse(
        error_code=code, error_message=message, cluster_id="", brokers=[]
    )
