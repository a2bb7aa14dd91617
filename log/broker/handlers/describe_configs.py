"""DescribeConfigs, versions 1 to 4: the settings of topics and of the broker.

- Of topics and of the broker by its id, all settings; of the broker without a name, what was set for
  the whole cluster while it runs. `configuration_keys` picks some; an empty list picks all, as in Kafka.
- What was given to topics by the broker's defaults says so, with all its synonyms where they are asked.
- The broker's own settings can't be changed while it runs, its defaults for topics can.

Deviations: a resource that is named twice is described once, for that may be a thousand times what asks
for it. Kafka has some twenty more settings of topics, and three hundred of brokers. Loggers, client
metrics and groups have no settings here (INVALID_REQUEST).

Source: KIP-133, KIP-226, KIP-569.
"""

from ...wire.error_codes import ErrorCode
from ...wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)
from ..node import Caller, Node
from .config_entries import (
    ConfigEntry,
    Defaults,
    broker_entries,
    defaults_of_topics,
    dynamic_entries,
    topic_entries,
)
from .refusal import Refusal
from .resources import ResourceType, check_broker_name
from .topic_names import check_name


def describe_configs(
    node: Node, request: DescribeConfigsRequest, caller: Caller
) -> DescribeConfigsResponse:
    """Describe each of the resources."""
    del caller
    once_each = {(one.resource_type, one.resource_name): one for one in request.resources}
    defaults = defaults_of_topics(node.broker.metadata)
    return DescribeConfigsResponse(
        results=[_result(node, one, request, defaults) for one in once_each.values()]
    )


def _result(
    node: Node,
    asked: DescribeConfigsResource,
    request: DescribeConfigsRequest,
    defaults: Defaults,
) -> DescribeConfigsResult:
    kind, name, wanted = (
        asked.resource_type,
        asked.resource_name,
        set(asked.configuration_keys or ()),
    )
    try:
        entries = _entries(node, asked, defaults)
    except Refusal as refusal:
        return DescribeConfigsResult(
            error_code=refusal.code,
            error_message=refusal.message,
            resource_type=kind,
            resource_name=name,
            configs=[],
        )
    return DescribeConfigsResult(
        resource_type=kind,
        resource_name=name,
        configs=[
            _described(entry, request) for entry in entries if not wanted or entry.name in wanted
        ],
    )


def _entries(node: Node, asked: DescribeConfigsResource, defaults: Defaults) -> list[ConfigEntry]:
    """Return all settings. Raises Refusal."""
    known = node.broker.metadata
    name = asked.resource_name
    match asked.resource_type:
        case ResourceType.TOPIC:
            check_name(name)
            topic = known.topics.get(name)
            if topic is None:
                raise Refusal(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            return topic_entries(topic.config, defaults)
        case ResourceType.BROKER if not name:
            return dynamic_entries(known)
        case ResourceType.BROKER:
            check_broker_name(node, name)
            return broker_entries(node.settings, defaults)
        case unknown:
            raise Refusal(
                ErrorCode.INVALID_REQUEST,
                f"resources of type {unknown} have no settings here: ask for topics (2) or brokers (4)",
            )


def _described(
    entry: ConfigEntry, request: DescribeConfigsRequest
) -> DescribeConfigsResourceResult:
    synonyms = entry.synonyms if request.include_synonyms else []
    return DescribeConfigsResourceResult(
        name=entry.name,
        value=entry.value,
        read_only=entry.read_only,
        config_source=entry.source,
        is_sensitive=False,
        synonyms=[
            DescribeConfigsSynonym(name=name, value=value, source=source)
            for name, value, source in synonyms
        ],
        config_type=entry.config_type,
        documentation=entry.documentation if request.include_documentation else None,
    )
