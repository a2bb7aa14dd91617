"""What all connections of a server share: a buffer, limits, and the order of their sending.

Memory is bounded for all connections together. Beyond `queued_max_request_bytes` only small things go
on: whoever holds little may still send what is little and has a small answer, such as a heartbeat, so
that a flood does not cost others their place in a group. If that state lasts, whoever holds most has
to go; a client that reads and writes as it should is unlikely to be that one.

Instead of a timer for each connection there is a sweep over all: 10,000 take some milliseconds.
"""

import asyncio
import logging
from typing import Final

from ..broker.metrics import ConnectionCounts
from ..broker.settings import BrokerSettings
from ..wire.messages.fetch import FETCH
from ..wire.messages.produce import PRODUCE
from .connection import Connection
from .driver import Driver
from .frames_in import RECEIVE_BYTES

_LOG: Final = logging.getLogger("millpond.broker")

SMALL_BYTES: Final = 16 * 1024
SWEEP_S_MIN: Final = 0.01
SWEEP_S_MAX: Final = 0.5
CLOSING_S_MAX: Final = 10.0
"""How long a client may take to read the rest of what it is sent."""

COMPLAINTS_MAX: Final = 10
"""Between two sweeps."""


class Connections:
    """All connections of a server."""

    def __init__(self, driver: Driver, settings: BrokerSettings, files_max: int) -> None:
        """Begin with none, on the running loop.

        Args:
            driver: runs the handlers.
            settings: say what connections may cost.
            files_max: how many files the process may open. Connections get half of that at most: if a
                partition could not open its next segment, the broker would have to stop.
        """
        self._connections_max = min(settings.max_connections, files_max // 2)
        self.driver = driver
        self.receive_buffer = memoryview(bytearray(RECEIVE_BYTES))
        self.bytes_in_flight_max = max(settings.connection_bytes_in_flight, 1)  # one at a time
        self._settings = settings
        self._counts: ConnectionCounts = driver.node.metrics.connections
        self._open: set[Connection] = set()
        self._expected = 0
        self._to_flush: dict[Connection, None] = {}
        self._held_bytes = 0
        self.is_full = False
        self._was_full = False
        self._held_back: dict[Connection, None] = {}
        self._complaints = 0
        self._loop = asyncio.get_running_loop()
        self._sweep_s = max(min(settings.connections_max_idle_ms / 4000, SWEEP_S_MAX), SWEEP_S_MIN)
        self._sweeping = self._loop.call_later(self._sweep_s, self._sweep)
        driver.after_turn.append(self._flush)

    # -- what connections call -----------------------------------------------------------------

    def frame_bytes_max(self, api_key: int) -> int:
        if api_key == PRODUCE.key:
            return self._settings.socket_request_max_bytes
        return self._settings.request_max_bytes_but_produce

    def opened(self, connection: Connection) -> None:
        self._expected -= 1
        self._open.add(connection)
        self._counts.accepted += 1
        self._counts.open = len(self._open)

    def closed(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._held_back.pop(connection, None)
        self._counts.open = len(self._open)

    def to_be_flushed(self, connection: Connection) -> None:
        self._to_flush[connection] = None
        self.driver.turn_soon()

    def holds(self, connection: Connection, change_bytes: int) -> None:
        del connection
        self._held_bytes += change_bytes
        self._counts.held_bytes = self._held_bytes
        self.is_full = self._held_bytes >= self._settings.queued_max_request_bytes
        if self._held_back and not self.is_full:
            self.driver.turn_soon()

    def has_room_for(self, connection: Connection) -> bool:
        if connection.held_bytes < SMALL_BYTES and connection.next_api_key != FETCH.key:
            return True
        self._held_back[connection] = None
        return False

    def misbehaved(self, peer: str, reason: str, error: BaseException | None) -> None:
        self._counts.closed_for_misbehaving += 1
        self._complain(peer, reason, error)

    # -- what the server calls -----------------------------------------------------------------

    def expect(self) -> bool:
        """Say whether one more connection may be made, and count on it if so."""
        if len(self._open) + self._expected < self._connections_max:
            self._expected += 1
            return True
        self._counts.refused += 1
        self._complain("a client", f"there are {len(self._open)} others already")
        return False

    def not_made(self) -> None:
        """Hear that a connection that was expected will not come."""
        self._expected -= 1

    def end(self) -> None:
        """Let all connections finish what has begun, and close."""
        for connection in list(self._open):
            connection.end()

    async def closed_by(self, deadline: float) -> None:
        """Wait until all are closed, or wait only for each other, or the loop's clock says so."""
        while not all(connection.waits_for_others for connection in self._open):
            if self._loop.time() >= deadline:
                break
            await asyncio.sleep(0.01)  # it happens once in a broker's life

    def abort(self) -> None:
        """End all connections, and what goes on beside them."""
        self._sweeping.cancel()
        for connection in list(self._open):
            connection.abort()

    # -- what happens by itself ----------------------------------------------------------------

    def _flush(self) -> None:
        """Send what is answered; let those go on for whom there is room again."""
        while self._to_flush:
            connection, _ = self._to_flush.popitem()
            connection.flush()
        while self._held_back and not self.is_full:
            connection, _ = self._held_back.popitem()
            connection.go_on()

    def _sweep(self) -> None:
        self._sweeping = self._loop.call_later(self._sweep_s, self._sweep)
        now = self._loop.time()
        idle_s_max = self._settings.connections_max_idle_ms / 1000
        for connection in list(self._open):
            silent_s = now - connection.active_at
            if connection.is_closing:
                if silent_s > CLOSING_S_MAX:
                    connection.abort()
            elif silent_s > idle_s_max and not connection.is_handled:
                self._counts.closed_for_idling += 1
                connection.abort()
        if self.is_full and self._was_full:
            self._sacrifice()
        self._was_full = self.is_full
        if self._complaints > COMPLAINTS_MAX:
            hidden = self._complaints - COMPLAINTS_MAX
            _LOG.warning("closed %d connections more, for such reasons", hidden)
        self._complaints = 0

    def _sacrifice(self) -> None:
        """Close the connection that holds most."""
        victim = max(self._open, key=lambda each: each.held_bytes, default=None)
        if victim is not None:
            self._counts.closed_for_memory += 1
            self._complain(
                victim.peer,
                f"all together hold {self._held_bytes} bytes (queued.max.request.bytes: "
                f"{self._settings.queued_max_request_bytes}), this one {victim.held_bytes}",
            )
            victim.abort()

    def _complain(self, peer: str, reason: str, error: BaseException | None = None) -> None:
        """Write a line, unless there have been many."""
        self._complaints += 1
        if self._complaints > COMPLAINTS_MAX:
            return
        if error is None:
            _LOG.warning("closed the connection of %s: %s", peer, reason)
        else:
            _LOG.error("closed the connection of %s: %s", peer, reason, exc_info=error)
