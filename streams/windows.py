"""Which windows of event time contain a moment, and when they are closed: arithmetic, no state.

A window is half-open, ``start ≤ t < end``, in whole milliseconds, so two neighbours share no moment
and miss none. Windows are aligned to the epoch: every task, run and replay cuts time at the same
places. A window is late for an event when its end and grace have been reached by the watermark; the
same comparison closes it, so no event falls between "too late" and "not yet closed".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from ..log.errors import ConfigError
from ..log.model import Timestamp
from .timestamps import from_ms

K = TypeVar("K")
V = TypeVar("V")


class Window(msgspec.Struct, Generic[K, V], frozen=True):
    """What a table holds for a key in one window: from `start`, until before `end`, in ms."""

    key: K
    start: Timestamp
    end: Timestamp
    value: V

    @property
    def starts_at(self) -> datetime:
        """The first moment of the window, in UTC."""
        return from_ms(self.start)

    @property
    def ends_at(self) -> datetime:
        """The first moment after the window, in UTC."""
        return from_ms(self.end)


class _FixedSize:
    """When windows of one size end and close."""

    __slots__ = ()

    size_ms: int
    grace_ms: int

    def end(self, start: Timestamp) -> Timestamp:
        """Return the first moment after the window that begins at `start`."""
        return start + self.size_ms

    def is_late(self, start: Timestamp, watermark: Timestamp) -> bool:
        """Whether the window that begins at `start` takes no more events."""
        return start + self.size_ms + self.grace_ms <= watermark

    def close_limit(self, watermark: Timestamp) -> Timestamp:
        """Return the start below which all windows are closed, and at which none is."""
        return watermark - self.size_ms - self.grace_ms + 1


@dataclass(frozen=True, slots=True)
class Tumbling(_FixedSize):
    """Windows side by side: each moment is in exactly one."""

    size_ms: int
    grace_ms: int

    def __post_init__(self) -> None:
        _check(self.size_ms, self.size_ms, self.grace_ms)

    def starts(self, timestamp: Timestamp) -> Sequence[Timestamp]:
        """Return the start of the one window that contains this moment."""
        return (timestamp - timestamp % self.size_ms,)


@dataclass(frozen=True, slots=True)
class Hopping(_FixedSize):
    """Windows of one size, one beginning every `step_ms`: a moment is in ⌊size/step⌋ or one more."""

    size_ms: int
    step_ms: int
    grace_ms: int

    def __post_init__(self) -> None:
        _check(self.size_ms, self.step_ms, self.grace_ms)

    def starts(self, timestamp: Timestamp) -> Sequence[Timestamp]:
        """Return the starts of the windows that contain this moment, earliest first; never none."""
        step = self.step_ms
        last = timestamp - timestamp % step
        before_first = timestamp - self.size_ms
        return range(before_first - before_first % step + step, last + 1, step)


def _check(size_ms: int, step_ms: int, grace_ms: int) -> None:
    if size_ms < 1:
        raise ConfigError(f"a window of {size_ms} ms: the size must be at least 1 ms")
    if step_ms < 1:
        raise ConfigError(f"windows every {step_ms} ms: the step must be at least 1 ms")
    if step_ms > size_ms:
        raise ConfigError(
            f"windows of {size_ms} ms every {step_ms} ms leave gaps, in which events would be in no "
            "window: make the step no longer than the size"
        )
    if grace_ms < 0:
        raise ConfigError(f"a grace of {grace_ms} ms: it must be zero or more")
