"""Calls the parts of a node that act by themselves, when it is time."""

import asyncio
import logging
from typing import Final

from ..broker.node import Timed
from ..errors import DiskFailed
from .driver import Driver

_LOG: Final = logging.getLogger("millpond.broker")

RETRY_S: Final = 1.0
"""How long a part that has failed is left alone."""


class Alarm:
    """Watches the clock for a driver's node: after every turn, and when somebody is due."""

    def __init__(self, driver: Driver) -> None:
        """Begin to watch, on the running loop."""
        self._driver = driver
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0
        self._busy: set[int] = set()
        """Those who act at the moment, by their `id`."""
        driver.after_turn.append(self._look)
        driver.turn_soon()

    def close(self) -> None:
        """Call nobody any more."""
        self._driver.after_turn.remove(self._look)
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        """Let act who is due, and see when the next one will be."""
        node = self._driver.node
        now = node.clock.elapsed_ms()
        next_ms: int | None = None
        for timed in node.timed:
            due_ms = None if id(timed) in self._busy else timed.next_due_ms()
            if due_ms is None:
                continue
            if due_ms <= now:
                self._act(timed)
            elif next_ms is None or due_ms < next_ms:
                next_ms = due_ms
        self._set_timer(now, next_ms)

    def _act(self, timed: Timed) -> None:
        self._busy.add(id(timed))

        def finish(_result: None, error: Exception | None) -> None:
            if error is None:
                self._busy.discard(id(timed))
            elif not isinstance(error, DiskFailed):
                _LOG.error("%r failed at what it does by itself", timed, exc_info=error)
                self._loop.call_later(RETRY_S, self._try_again, timed)

        self._driver.start(timed.on_time(self._driver.node), finish)

    def _try_again(self, timed: Timed) -> None:
        self._busy.discard(id(timed))
        self._driver.turn_soon()

    def _set_timer(self, now: int, next_ms: int | None) -> None:
        if self._timer is not None:
            if next_ms == self._timer_ms:
                return
            self._timer.cancel()
            self._timer = None
        if next_ms is not None:
            self._timer_ms = next_ms
            self._timer = self._loop.call_later((next_ms - now) / 1000, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._driver.turn_soon()
