"""IncrementalAlterConfigs (44): change some settings of a resource.

An operation is 0 set, 1 delete, 2 append to a list, 3 subtract from a list.

    1   flexible

Source: the Kafka protocol, as of 4.1; KIP-339.
"""

from typing import Final

from ..api import Api
from ..schema import Bool, Int8, Int16, Int32, Message, String


class AlterableConfig(Message):
    """One of `AlterConfigsResource.configs`."""

    name: String
    config_operation: Int8
    value: String | None


class AlterConfigsResource(Message):
    """One of `IncrementalAlterConfigsRequest.resources`."""

    resource_type: Int8
    resource_name: String
    configs: list[AlterableConfig]


class IncrementalAlterConfigsRequest(Message):
    """What a client asks."""

    resources: list[AlterConfigsResource]
    validate_only: Bool


class AlterConfigsResourceResponse(Message):
    """One of `IncrementalAlterConfigsResponse.responses`."""

    error_code: Int16 = 0
    error_message: String | None = None
    resource_type: Int8
    resource_name: String


class IncrementalAlterConfigsResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    responses: list[AlterConfigsResourceResponse]


INCREMENTAL_ALTER_CONFIGS: Final = Api(
    key=44,
    name="IncrementalAlterConfigs",
    request=IncrementalAlterConfigsRequest,
    response=IncrementalAlterConfigsResponse,
    first=0,
    last=1,
    flexible_since=1,
)
"""IncrementalAlterConfigs, as both sides know it."""
