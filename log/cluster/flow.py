"""A partition on its way from librdkafka to one reader.

How much waits is bounded without a lock: each of two counters has one writer, the pump counts what it
has brought, the loop what was handed over.
"""

from collections.abc import Callable
from typing import Final

from ..model import Offset, TopicPartition
from .arrivals import Arrived

ENOUGH_BYTES: Final = 512 << 10
"""With this much waiting, a reader needs no more."""


class Flow:
    """A partition between librdkafka and one reader: what has come of it and was not read yet."""

    __slots__ = (
        "_came",
        "_taken",
        "arrived",
        "has_left",
        "is_paused",
        "next_offset",
        "on_arrival",
        "partition",
    )

    def __init__(
        self, partition: TopicPartition, offset: Offset, on_arrival: Callable[[], None]
    ) -> None:
        self.partition = partition
        self.on_arrival = on_arrival
        # The loop writes these,
        self.arrived: Arrived | None = None
        self.is_paused = False
        self.has_left = False
        self._taken = 0
        # and the pump those.
        self.next_offset = offset
        self._came = 0

    @property
    def waiting_bytes(self) -> int:
        return self._came - self._taken

    @property
    def is_hungry(self) -> bool:
        return self._came - self._taken < ENOUGH_BYTES and not self.is_paused

    def came(self, arrived: Arrived) -> None:
        """Count what is on its way to the loop."""
        self.next_offset = max(self.next_offset, arrived.next_offset)
        self._came += arrived.weight

    def taken(self, weight: int) -> None:
        """Count what was handed to the reader."""
        self._taken += weight

    def put(self, arrived: Arrived) -> None:
        """Keep for the reader what has come."""
        if self.arrived is None:
            self.arrived = arrived
        else:
            self.arrived.merge(arrived)
