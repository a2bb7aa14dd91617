"""Accepts connections at one listening socket, and makes TLS of them if that is wanted.

Not asyncio's own server: that one loses a connection which comes in the moment it is closed (it stays
open, and nobody answers), and counts nothing before a TLS handshake is over.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Final

_LOG: Final = logging.getLogger("millpond.broker")

BACKLOG: Final = 4096
"""How many connections the system keeps until they are accepted."""

ACCEPTED_AT_ONCE: Final = 256
"""So many in one turn of the loop; then others have theirs."""

HANDSHAKE_S_MAX: Final = 10.0
GOODBYE_S_MAX: Final = 2.0
"""How long TLS waits for the other side to close as well."""

PAUSE_S: Final = 1.0
"""How long nothing is accepted after the system has refused to."""


class Acceptor:
    """Turns what arrives at a socket into transports with protocols."""

    def __init__(
        self,
        listening: socket.socket,
        make_protocol: Callable[[], asyncio.BaseProtocol],
        tls: ssl.SSLContext | None,
        *,
        may_accept: Callable[[], bool],
        on_not_made: Callable[[], None],
    ) -> None:
        """Begin to listen, on the running loop.

        Args:
            listening: a bound socket; it is closed by `close`.
            make_protocol: makes the protocol of a new connection.
            tls: if given, TLS is spoken.
            may_accept: says whether one more connection may be made.
            on_not_made: is told when one that might have been was not made after all.
        """
        self._listening = listening
        self._make_protocol = make_protocol
        self._tls = tls
        self._may_accept = may_accept
        self._on_not_made = on_not_made
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        listening.listen(BACKLOG)
        self._loop.add_reader(listening.fileno(), self._accept)

    async def close(self, timeout_s: float) -> None:
        """Accept nothing more; let what is accepted become connections, if that doesn't take long."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listening.fileno())
        self._listening.close()
        if self._connecting:
            _done, late = await asyncio.wait(self._connecting, timeout=timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted, _address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # mostly: too many open files
                _LOG.error("can't accept connections for %s s: %s", PAUSE_S, error)
                self._loop.remove_reader(self._listening.fileno())
                self._pause = self._loop.call_later(PAUSE_S, self._go_on)
                return
            if not self._may_accept():
                accepted.close()
                continue
            accepted.setblocking(False)
            # A client whose machine has gone is noticed some day, even while it waits for an answer.
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            task = self._loop.create_task(self._connect(accepted))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listening.fileno(), self._accept)

    async def _connect(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._make_protocol,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_S_MAX if self._tls else None,
                ssl_shutdown_timeout=GOODBYE_S_MAX if self._tls else None,
            )
        except OSError as error:  # the client has gone, or speaks no TLS, or not ours
            _LOG.info("a connection could not be made: %s", error)
            accepted.close()
            self._on_not_made()
        except BaseException:
            accepted.close()
            raise
