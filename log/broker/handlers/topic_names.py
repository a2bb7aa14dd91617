"""Checks of topic names, answered as Kafka answers them."""

from collections.abc import Iterable

from ...config import check_topic_name
from ...errors import ConfigError
from ...wire.error_codes import ErrorCode
from ..metadata import METADATA_PARTITION
from .refusal import Refusal


def check_name(name: str) -> None:
    """Raise Refusal for what can't be a topic's name."""
    try:
        check_topic_name(name)
    except ConfigError as error:
        raise Refusal(ErrorCode.INVALID_TOPIC_EXCEPTION, str(error)) from None


class TakenNames:
    """The names that a new topic can't have."""

    def __init__(self, existing: Iterable[str]) -> None:
        self._existing = {_alike(name): name for name in existing}

    def check(self, name: str) -> None:
        """Raise Refusal for what can't be a new topic's name.

        Names that differ only in '.' and '_' are refused: in the names of metrics they are the same.
        """
        if name == METADATA_PARTITION.topic:
            raise Refusal(
                ErrorCode.INVALID_REQUEST, f"Creation of internal topic {name} is prohibited."
            )
        check_name(name)
        other = self._existing.get(_alike(name))
        if other == name:
            raise Refusal(ErrorCode.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
        if other is not None:
            raise Refusal(
                ErrorCode.INVALID_TOPIC_EXCEPTION,
                f"Topic '{name}' collides with existing topic: {other}",
            )


def _alike(name: str) -> str:
    return name.replace(".", "_")
