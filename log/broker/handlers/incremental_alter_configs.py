"""IncrementalAlterConfigs, versions 0 and 1: change single settings, and leave the others (KIP-339).

To set, to delete, and, of lists, to append and to subtract values. Appending to what is not set
begins with what counts there, its default. What may be altered, and the deviations: `config_changes.py`;
besides, an operation that nobody knows is INVALID_REQUEST, where Kafka has no answer ready.
"""

import enum
from collections.abc import Mapping

from ...topic_settings import TOPIC_SETTINGS
from ...wire.error_codes import ErrorCode
from ...wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)
from ..node import Caller, Node
from ..waits import Exclusive, Handling
from .config_changes import ConfigChange, carry_out
from .refusal import Refusal


class Operation(enum.IntEnum):
    """What is to be done with a setting."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


def incremental_alter_configs(
    node: Node, request: IncrementalAlterConfigsRequest, caller: Caller
) -> Handling[IncrementalAlterConfigsResponse]:
    """Alter what can be altered."""
    del caller
    yield Exclusive(removes=False)
    changes = [_change(one) for one in request.resources]
    refusals = carry_out(node, changes, validate_only=request.validate_only)
    return IncrementalAlterConfigsResponse(
        responses=[
            AlterConfigsResourceResponse(
                error_code=refusal.code if refusal else 0,
                error_message=refusal.message if refusal else None,
                resource_type=change.resource_type,
                resource_name=change.resource_name,
            )
            for change, refusal in zip(changes, refusals, strict=True)
        ]
    )


def _change(asked: AlterConfigsResource) -> ConfigChange:
    def change(given: Mapping[str, str], effective: Mapping[str, str]) -> dict[str, str]:
        settings = dict(given)
        for config in asked.configs:
            _apply(config, settings, effective)
        return settings

    return ConfigChange(
        asked.resource_type,
        asked.resource_name,
        keys=[config.name for config in asked.configs],
        missing=[
            config.name
            for config in asked.configs
            if config.value is None and config.config_operation != Operation.DELETE
        ],
        change=change,
    )


def _apply(config: AlterableConfig, settings: dict[str, str], effective: Mapping[str, str]) -> None:
    """Do one operation. Raises Refusal."""
    name, value = config.name, config.value or ""
    match config.config_operation:
        case Operation.SET:
            settings[name] = value
        case Operation.DELETE:
            settings.pop(name, None)
        case Operation.APPEND | Operation.SUBTRACT as operation:
            if name not in _LISTS:
                raise Refusal(
                    ErrorCode.INVALID_CONFIG,
                    f"Can't {Operation(operation).name} to key {name} "
                    "because its type is not LIST.",
                )
            parts = [part for part in effective.get(name, "").split(",") if part]
            named = value.split(",")
            if operation == Operation.APPEND:
                parts += [part for part in dict.fromkeys(named) if part not in parts]
            else:
                parts = [part for part in parts if part not in named]
            settings[name] = ",".join(parts)
        case unknown:
            raise Refusal(
                ErrorCode.INVALID_REQUEST,
                f"there is no operation {unknown}: use 0 to set, 1 to delete, 2 to append, "
                "3 to subtract",
            )


_LISTS = frozenset(
    name
    for key, setting in TOPIC_SETTINGS.items()
    if setting.kind == "list"
    for name in (key, setting.broker_name)
) | {"leader.replication.throttled.replicas", "follower.replication.throttled.replicas"}
