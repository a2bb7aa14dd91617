"""Time, as the engine sees it: one object to ask, so that a test can be the one who answers.

Everything in `streams` that waits for time waits through a `Clock`. `SystemClock` is the machine's;
`VirtualClock` stands still until a test advances it, and then wakes whoever was due, in order.
"""

import heapq
import itertools
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import anyio


class Clock(Protocol):
    """A source of time, in milliseconds since the epoch."""

    def now(self) -> int: ...

    def move_on_after(self, delay_ms: float) -> AbstractContextManager[anyio.CancelScope]:
        """Cancel the block once the delay has passed; see `anyio.move_on_after`."""

    async def sleep(self, delay_ms: float) -> None: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def move_on_after(self, delay_ms: float) -> AbstractContextManager[anyio.CancelScope]:
        return anyio.move_on_after(max(delay_ms, 0) / 1000)

    async def sleep(self, delay_ms: float) -> None:
        await anyio.sleep(max(delay_ms, 0) / 1000)


class VirtualClock:
    """A clock that only `advance_to` moves, in whole milliseconds: waits are rounded up to them."""

    def __init__(self, start_ms: int) -> None:
        self._now = start_ms
        self._due: list[tuple[float, int, anyio.CancelScope]] = []
        self._ticket = itertools.count()

    def now(self) -> int:
        return self._now

    @contextmanager
    def move_on_after(self, delay_ms: float) -> Iterator[anyio.CancelScope]:
        with anyio.CancelScope() as scope:
            due = self._now + (math.ceil(delay_ms) if math.isfinite(delay_ms) else delay_ms)
            heapq.heappush(self._due, (due, next(self._ticket), scope))
            if delay_ms <= 0:
                scope.cancel()
            try:
                yield scope
            finally:
                self._due = [entry for entry in self._due if entry[2] is not scope]
                heapq.heapify(self._due)

    async def sleep(self, delay_ms: float) -> None:
        with self.move_on_after(delay_ms):
            await anyio.sleep_forever()

    def next_due(self) -> float | None:
        """Return when the next sleeper wakes, or None when nobody sleeps."""
        return self._due[0][0] if self._due else None

    def advance_to(self, now_ms: int) -> None:
        """Move to `now_ms` and wake those who are due by then."""
        assert now_ms >= self._now, "time does not run backwards"
        self._now = now_ms
        while self._due and self._due[0][0] <= now_ms:
            heapq.heappop(self._due)[2].cancel()
