"""Changes of settings, however they were asked for: which new settings, and whether they will do.

Each resource is altered or refused by itself; but two of one name in one request are both refused, for
nobody could say which comes last. What is altered is durable, and in effect, before the answer.

A topic's settings are its own. Those of a broker that can be changed are the defaults it gives to topics:
those of this broker, or, under the empty name, of all.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from ...errors import ConfigError
from ...topic_settings import BROKER_NAMES, TOPIC_SETTINGS, topic_defaults
from ...wire.error_codes import ErrorCode
from ..node import Node
from .config_entries import defaults_of_topics
from .refusal import Refusal
from .resources import ResourceType, check_broker_name
from .topic_names import check_name

Settings: TypeAlias = Mapping[str, str]


class ConfigChange(NamedTuple):
    """What one resource is asked to become.

    Attributes:
        resource_type, resource_name: whose settings.
        keys: which of them are named.
        missing: those that were to be set, but to nothing.
        change: makes the new settings of the present ones; given also what counts where nothing is
            set. Raises Refusal.
    """

    resource_type: int
    resource_name: str
    keys: Sequence[str]
    missing: Sequence[str]
    change: Callable[[Settings, Settings], dict[str, str]]


def carry_out(
    node: Node, changes: Sequence[ConfigChange], *, validate_only: bool
) -> list[Refusal | None]:
    """Alter what can be altered; say of each change whether, and why not, it was refused."""
    times = Counter((one.resource_type, one.resource_name) for one in changes)
    refusals: list[Refusal | None] = []
    topics: dict[str, Settings] = {}
    defaults: dict[str, Settings] = {}
    for one in changes:
        try:
            if times[one.resource_type, one.resource_name] > 1:
                raise Refusal(ErrorCode.INVALID_REQUEST, "Each resource must appear at most once.")
            _check_keys(one)
            if one.resource_type == ResourceType.TOPIC:
                topics[one.resource_name] = _of_topic(node, one)
            elif one.resource_type == ResourceType.BROKER:
                defaults[one.resource_name] = _of_broker(node, one)
            else:
                raise Refusal(
                    ErrorCode.INVALID_REQUEST, f"Unknown resource type {one.resource_type}"
                )
        except Refusal as refusal:
            refusals.append(refusal)
        else:
            refusals.append(None)
    if not validate_only:
        node.broker.alter_topics(topics, node.now())
        for broker_name, settings in defaults.items():
            node.broker.alter_defaults(broker_name, settings, node.now())
    return refusals


def _check_keys(one: ConfigChange) -> None:
    if len(set(one.keys)) < len(one.keys):
        raise Refusal(ErrorCode.INVALID_REQUEST, "Error due to duplicate config keys")
    if one.missing:
        raise Refusal(
            ErrorCode.INVALID_REQUEST, f"Null value not supported for : {', '.join(one.missing)}"
        )


def _of_topic(node: Node, one: ConfigChange) -> Settings:
    """Return a topic's new settings. Raises Refusal."""
    known = node.broker.metadata
    name = one.resource_name
    if not name:
        raise Refusal(ErrorCode.INVALID_REQUEST, "Default topic resources are not allowed.")
    check_name(name)
    topic = known.topics.get(name)
    if topic is None:
        raise Refusal(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"The topic '{name}' does not exist.")
    settings = one.change(topic.config.given, topic.config.to_mapping())
    try:
        known.topic_config(name, settings, internal=topic.internal)
    except ConfigError as error:
        raise Refusal(ErrorCode.INVALID_CONFIG, str(error)) from None
    return settings


def _of_broker(node: Node, one: ConfigChange) -> Settings:
    """Return a broker's new defaults for topics. Raises Refusal."""
    if one.resource_name:
        check_broker_name(node, one.resource_name)
    fixed = [key for key in one.keys if key not in BROKER_NAMES]
    if fixed:
        raise Refusal(
            ErrorCode.INVALID_REQUEST,
            f"Cannot update these configs dynamically: Set({', '.join(fixed)})",
        )
    known = node.broker.metadata
    effective = {
        TOPIC_SETTINGS[key].broker_name: synonyms[0].value
        for key, synonyms in defaults_of_topics(known).items()
    }
    settings = one.change(known.dynamic_defaults.get(one.resource_name, {}), effective)
    try:
        topic_defaults(settings)
    except ValueError as error:
        raise Refusal(ErrorCode.INVALID_REQUEST, str(error)) from None
    return settings
