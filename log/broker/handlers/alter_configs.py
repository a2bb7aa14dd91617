"""AlterConfigs, versions 0 to 2: give resources these settings, and no others (KIP-133).

What is not named falls back to its default, which is why IncrementalAlterConfigs came after it. What
may be altered, and the deviations: `config_changes.py`.
"""

from collections.abc import Mapping

from ...wire.messages.alter_configs import (
    AlterConfigsRequest,
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    AlterConfigsResponse,
)
from ..node import Caller, Node
from ..waits import Exclusive, Handling
from .config_changes import ConfigChange, carry_out


def alter_configs(
    node: Node, request: AlterConfigsRequest, caller: Caller
) -> Handling[AlterConfigsResponse]:
    """Alter what can be altered."""
    del caller
    yield Exclusive(removes=False)
    changes = [_change(one) for one in request.resources]
    refusals = carry_out(node, changes, validate_only=request.validate_only)
    return AlterConfigsResponse(
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
    settings = {config.name: config.value for config in asked.configs}

    def change(given: Mapping[str, str], effective: Mapping[str, str]) -> dict[str, str]:
        del given, effective
        return {name: value for name, value in settings.items() if value is not None}

    return ConfigChange(
        asked.resource_type,
        asked.resource_name,
        keys=[config.name for config in asked.configs],
        missing=[name for name, value in settings.items() if value is None],
        change=change,
    )
