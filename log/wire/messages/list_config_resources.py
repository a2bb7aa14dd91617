"""ListConfigResources (74): which resources have settings.

In version 0 it was ListClientMetricsResources, and listed only these.

    1   types, and a filter for them (KIP-1142)

Source: the Kafka protocol, as of 4.1; KIP-714.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Int8, Int16, Int32, Message, Since, String


class ListConfigResourcesRequest(Message):
    """What a client asks."""

    resource_types: Annotated[list[Int8], Since(1)] = []


class ConfigResource(Message):
    """One of `ListConfigResourcesResponse.config_resources`."""

    resource_name: String
    resource_type: Annotated[Int8, Since(1)] = 16


class ListConfigResourcesResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    config_resources: list[ConfigResource]


LIST_CONFIG_RESOURCES: Final = Api(
    key=74,
    name="ListConfigResources",
    request=ListConfigResourcesRequest,
    response=ListConfigResourcesResponse,
    first=0,
    last=1,
    flexible_since=0,
)
"""ListConfigResources, as both sides know it."""
