"""AlterConfigs (33): replace all settings of a resource; what isn't named is reset.

Older than IncrementalAlterConfigs, which has replaced it.

    2   flexible

Source: the Kafka protocol, as of 4.1; KIP-133.
"""

from typing import Final

from ..api import Api
from ..schema import Bool, Int8, Int16, Int32, Message, String


class AlterableConfig(Message):
    """One of `AlterConfigsResource.configs`."""

    name: String
    value: String | None


class AlterConfigsResource(Message):
    """One of `AlterConfigsRequest.resources`."""

    resource_type: Int8
    resource_name: String
    configs: list[AlterableConfig]


class AlterConfigsRequest(Message):
    """What a client asks."""

    resources: list[AlterConfigsResource]
    validate_only: Bool


class AlterConfigsResourceResponse(Message):
    """One of `AlterConfigsResponse.responses`."""

    error_code: Int16 = 0
    error_message: String | None = None
    resource_type: Int8
    resource_name: String


class AlterConfigsResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    responses: list[AlterConfigsResourceResponse]


ALTER_CONFIGS: Final = Api(
    key=33,
    name="AlterConfigs",
    request=AlterConfigsRequest,
    response=AlterConfigsResponse,
    first=0,
    last=2,
    flexible_since=2,
)
"""AlterConfigs, as both sides know it."""
