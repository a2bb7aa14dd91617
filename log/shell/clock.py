"""Wall-clock time for the log: milliseconds since the epoch."""

import time
from typing import Protocol

from ..model import Timestamp


class Clock(Protocol):
    """Tells the time. Tests bring their own."""

    def now(self) -> Timestamp: ...


class SystemClock:
    """The machine's clocks. The wall clock may jump; nothing here depends on it going forward."""

    def now(self) -> Timestamp:
        return time.time_ns() // 1_000_000

    def elapsed_ms(self) -> int:
        """Return milliseconds that never jump, from some moment on."""
        return time.monotonic_ns() // 1_000_000
