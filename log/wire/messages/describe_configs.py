"""DescribeConfigs (32): settings of topics, brokers and others, and where each comes from.

Null for a resource's keys asks for all of its settings.

    1   synonyms, from which a value could come as well (KIP-226)
    3   types and documentation (KIP-569)
    4   flexible

Source: the Kafka protocol, as of 4.1; KIP-133.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Bool, Int8, Int16, Int32, Message, Since, String


class DescribeConfigsResource(Message):
    """One of `DescribeConfigsRequest.resources`."""

    resource_type: Int8
    resource_name: String
    configuration_keys: list[String] | None


class DescribeConfigsRequest(Message):
    """What a client asks."""

    resources: list[DescribeConfigsResource]
    include_synonyms: Bool = False
    include_documentation: Annotated[Bool, Since(3)] = False


class DescribeConfigsSynonym(Message):
    """One of `DescribeConfigsResourceResult.synonyms`."""

    name: String
    value: String | None
    source: Int8


class DescribeConfigsResourceResult(Message):
    """One of `DescribeConfigsResult.configs`."""

    name: String
    value: String | None
    read_only: Bool
    config_source: Int8 = -1
    is_sensitive: Bool
    synonyms: list[DescribeConfigsSynonym]
    config_type: Annotated[Int8, Since(3)] = 0
    documentation: Annotated[String | None, Since(3)] = ""


class DescribeConfigsResult(Message):
    """One of `DescribeConfigsResponse.results`."""

    error_code: Int16 = 0
    error_message: String | None = None
    resource_type: Int8
    resource_name: String
    configs: list[DescribeConfigsResourceResult]


class DescribeConfigsResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    results: list[DescribeConfigsResult]


DESCRIBE_CONFIGS: Final = Api(
    key=32,
    name="DescribeConfigs",
    request=DescribeConfigsRequest,
    response=DescribeConfigsResponse,
    first=1,
    last=4,
    flexible_since=4,
)
"""DescribeConfigs, as both sides know it."""
