"""ListConfigResources, versions 0 and 1: what has settings that can be described.

Version 0, then called ListClientMetricsResources, asks for client metrics only, of which there are
none. Later ones name kinds; none means all. Loggers, client metrics and groups have no settings here,
so nothing is listed of them. A kind that nobody knows is answered with UNSUPPORTED_VERSION.

Source: KIP-1142.
"""

from collections.abc import Iterator

from ...wire.error_codes import ErrorCode
from ...wire.messages.list_config_resources import (
    ConfigResource,
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
)
from ..node import Caller, Node
from .resources import ResourceType


def list_config_resources(
    node: Node, request: ListConfigResourcesRequest, caller: Caller
) -> ListConfigResourcesResponse:
    """List what was asked for."""
    known = {kind.value for kind in ResourceType}
    wanted = set(request.resource_types) or known
    if caller.version == 0:
        wanted = {ResourceType.CLIENT_METRICS}
    if not wanted <= known:
        return ListConfigResourcesResponse(
            error_code=ErrorCode.UNSUPPORTED_VERSION, config_resources=[]
        )
    return ListConfigResourcesResponse(
        config_resources=[
            ConfigResource(resource_name=name, resource_type=kind)
            for kind, name in _resources(node)
            if kind in wanted
        ]
    )


def _resources(node: Node) -> Iterator[tuple[ResourceType, str]]:
    yield ResourceType.BROKER, str(node.settings.node_id)
    for name in node.broker.metadata.topics:
        yield ResourceType.TOPIC, name
