"""What has settings, as the protocol numbers and names it."""

import enum

from ...wire.error_codes import ErrorCode
from ..node import Node
from .refusal import Refusal


class ResourceType(enum.IntEnum):
    """A kind of thing with settings."""

    TOPIC = 2
    BROKER = 4
    BROKER_LOGGER = 8
    CLIENT_METRICS = 16
    GROUP = 32


def check_broker_name(node: Node, name: str) -> None:
    """Raise Refusal for the name of another broker than this one."""
    try:
        node_id = int(name)
    except ValueError:
        raise Refusal(
            ErrorCode.INVALID_REQUEST, f"Node id must be an integer, but it is: {name}"
        ) from None
    if node_id != node.settings.node_id:
        raise Refusal(
            ErrorCode.INVALID_REQUEST,
            f"Unexpected broker id, expected {node.settings.node_id} or empty string, "
            f"but received {name}",
        )
