"""What all connections of a server share: the driver, a buffer, limits, and whom to send to next."""

import logging
from typing import Final

from ..broker.settings import BrokerSettings
from .connection import Connection
from .driver import Driver
from .frames_in import RECEIVE_BYTES

_LOG: Final = logging.getLogger("millpond.broker")

PRODUCE_KEY: Final = 0


class Connections:
    """All connections of a server."""

    def __init__(self, driver: Driver, settings: BrokerSettings) -> None:
        self.driver = driver
        self.receive_buffer = memoryview(bytearray(RECEIVE_BYTES))
        self._settings = settings
        self._open: set[Connection] = set()
        self._to_flush: dict[Connection, None] = {}
        driver.after_turn = self.flush

    def frame_bytes_max(self, api_key: int) -> int:
        if api_key == PRODUCE_KEY:
            return self._settings.socket_request_max_bytes
        return self._settings.request_max_bytes_but_produce

    def opened(self, connection: Connection) -> bool:
        if len(self._open) >= self._settings.max_connections:
            self.complain(connection.peer, f"there are {len(self._open)} connections already")
            return False
        self._open.add(connection)
        return True

    def closed(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._to_flush.pop(connection, None)

    def to_be_flushed(self, connection: Connection) -> None:
        self._to_flush[connection] = None

    def flush(self) -> None:
        """Send all responses that are ready."""
        while self._to_flush:
            connection, _ = self._to_flush.popitem()
            connection.flush()

    def complain(self, peer: str, reason: str, error: BaseException | None = None) -> None:
        if error is None:
            _LOG.warning("closing the connection of %s: %s", peer, reason)
        else:
            _LOG.error("closing the connection of %s: %s", peer, reason, exc_info=error)
