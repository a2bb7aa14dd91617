"""One client's connection: frames in, requests begun, responses out in the order of the requests.

Requests begin in the order in which they came. While a handler waits the next ones begin, but one that is
answered waits for those before it. What is answered in the same turn of the loop leaves in one write.

No more is read and begun while the connection
- has `connection_bytes_in_flight` in requests that are handled and responses that wait for their turn,
- has a client that doesn't read what it is sent,
- holds more than others while all together hold too much (`connections.py`).

So a client can make us hold that much and one response more.
"""

import asyncio
from collections import deque
from typing import Final, Protocol, cast

from ..broker.node import Caller, Endpoint
from ..wire.errors import MalformedMessage, UnsupportedVersion
from .driver import Driver
from .frames_in import FrameReceiver
from .requests import Answer

UNSENT_BYTES_MAX: Final = 256 * 1024
"""Beyond it, the client has to read first. What the system buffers does not count."""

CALLERS_MAX: Final = 32
"""A client has one id and a version per API; whoever changes them all the time gets no cache."""


class Hub(Protocol):
    """What all connections share."""

    driver: Driver
    receive_buffer: memoryview
    bytes_in_flight_max: int
    is_full: bool

    def frame_bytes_max(self, api_key: int) -> int:
        """Return how large a request may be."""

    def opened(self, connection: "Connection") -> None:
        """Note a new connection."""

    def closed(self, connection: "Connection") -> None:
        """Forget a connection."""

    def to_be_flushed(self, connection: "Connection") -> None:
        """Have `flush` called soon."""

    def holds(self, connection: "Connection", change_bytes: int) -> None:
        """Note that a connection holds more memory, or less."""

    def has_room_for(self, connection: "Connection") -> bool:
        """Say, when all is full, whether a connection may go on; if not, `go_on` is called later."""

    def misbehaved(self, peer: str, reason: str, error: BaseException | None) -> None:
        """Hear why a connection is closed; an error is our fault."""


class Connection(asyncio.BufferedProtocol):
    """The protocol of one connection.

    Attributes:
        peer: who is at the other end, to be shown.
        active_at: when a request or a response was last brought to its end, by the loop's clock.
        held_bytes: how much memory is held for it.
    """

    __slots__ = (
        "_callers",
        "_ending",
        "_endpoint",
        "_gone",
        "_host",
        "_hub",
        "_in_flight_bytes",
        "_loop",
        "_outgoing",
        "_outgoing_bytes",
        "_pending",
        "_reading",
        "_receiver",
        "_tls",
        "_transport",
        "_unsent_bytes",
        "active_at",
        "held_bytes",
        "peer",
    )

    def __init__(self, hub: Hub, endpoint: Endpoint | None) -> None:
        """Make the protocol of a connection that is about to be made.

        Args:
            hub: what all connections share.
            endpoint: where clients reach the listener; None: at the address that they came to.
        """
        self.peer = ""
        self.held_bytes = 0
        self._hub = hub
        self._endpoint = endpoint
        self._host = ""
        self._tls = False
        self._loop = asyncio.get_running_loop()
        self.active_at = self._loop.time()
        self._transport: asyncio.Transport
        self._receiver = FrameReceiver(hub.receive_buffer, hub.frame_bytes_max)
        self._callers: dict[tuple[int, str | None], Caller] = {}
        self._pending: deque[Answer] = deque()
        self._in_flight_bytes = 0
        """Of requests that are pending, and of their responses."""
        self._outgoing: list[bytes] = []
        self._outgoing_bytes = 0
        self._unsent_bytes: int | None = None
        """What the client should read; None while that is within bounds."""
        self._reading = True
        self._ending = False
        """Nothing more is begun."""
        self._gone = False

    @property
    def waits_for_others(self) -> bool:
        """Whether all that it waits for is in the hands of other clients."""
        return (
            bool(self._pending)
            and not self._gone
            and not self._outgoing
            and all(
                answer.work is not None and answer.work.waits_for_others
                for answer in self._pending
                if not answer.done
            )
        )

    @property
    def is_handled(self) -> bool:
        """Whether it is our turn: a request is being handled."""
        return bool(self._pending) and not self._gone

    @property
    def is_closing(self) -> bool:
        """Whether only what is being sent keeps it."""
        return self._gone

    @property
    def next_api_key(self) -> int | None:
        """The API of the request that is to begin next, if that is known."""
        return self._receiver.next_api_key

    # -- what the transport calls --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)
        self._transport = transport
        self.peer, self._host = _peer_of(transport)
        self._tls = transport.get_extra_info("ssl_object") is not None
        if self._endpoint is None:
            name = transport.get_extra_info("sockname") or ("", 0)  # gone again already
            self._endpoint = Endpoint(name[0], name[1])
        transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)
        self._hub.opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        # What comes when nothing is begun any more is for nobody.
        return self._hub.receive_buffer if self._ending else self._receiver.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        if not self._ending:
            self._receiver.received(nbytes)
            self._take_frames()

    def pause_writing(self) -> None:
        self._unsent_bytes = self._transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        self._unsent_bytes = None
        self.active_at = self._loop.time()
        self._take_frames()

    def eof_received(self) -> bool:
        """Answer what was asked before the client fell silent, then close.

        What waits for changes is answered at once: mostly the client has died.
        """
        self.end()
        return not self._tls and not self._gone

    def connection_lost(self, exc: Exception | None) -> None:
        self._ending = self._gone = True
        for answer in self._pending:
            if answer.work is not None:
                self._hub.driver.abandon(answer.work)
        self._pending.clear()
        self._outgoing.clear()
        self._hub.holds(self, -self.held_bytes)
        self.held_bytes = 0
        self._hub.closed(self)

    # -- requests ------------------------------------------------------------------------------

    def go_on(self) -> None:
        """There may be room again."""
        if not self._reading:
            self._take_frames()

    def _take_frames(self) -> None:
        """Begin what has arrived, as far as there is room."""
        receiver, begun = self._receiver, False
        try:
            while self._may_begin() and (frame := receiver.next_frame()) is not None:
                answer = Answer(self._hub.driver, self, frame)
                self._pending.append(answer)
                self._in_flight_bytes += answer.request_bytes
                answer.begin(frame)
                begun = True
                if self._outgoing_bytes > UNSENT_BYTES_MAX:
                    self._send()
        except (MalformedMessage, UnsupportedVersion) as error:
            self.failed(str(error), None)
        except Exception as error:  # noqa: BLE001 - a fault of ours ends this connection, not the broker
            self.failed("a request could not be handled", error)
        if begun:
            self.active_at = self._loop.time()
        receiver.keep_rest()
        self.flush()

    def _may_begin(self) -> bool:
        return (
            not self._ending
            and self._unsent_bytes is None
            and self._in_flight_bytes < self._hub.bytes_in_flight_max
            and (not self._hub.is_full or self._hub.has_room_for(self))
        )

    def caller(self, version: int, client_id: str | None) -> Caller:
        caller = self._callers.get((version, client_id))
        if caller is None:
            assert self._endpoint is not None
            caller = Caller(version, client_id or "", self._host, self._endpoint)
            if len(self._callers) < CALLERS_MAX:
                self._callers[version, client_id] = caller
        return caller

    # -- responses -----------------------------------------------------------------------------

    def answered(self, answer: Answer) -> None:
        pending = self._pending
        self._in_flight_bytes += len(answer.response)
        while pending and pending[0].done:
            first = pending.popleft()
            self._in_flight_bytes -= first.request_bytes + len(first.response)
            if first.response:
                self._outgoing.append(first.response)
                self._outgoing_bytes += len(first.response)
        self._hub.to_be_flushed(self)

    def flush(self) -> None:
        """Send what may be sent; begin what there is room for by now; close if that is all."""
        if self._gone:
            return
        if self._outgoing:
            self._send()
        if self._ending:
            if not self._pending:
                self.close()
        elif not self._reading and self._may_begin():
            self._reading = True
            self._transport.resume_reading()
            self._take_frames()
            return
        elif self._reading and not self._may_begin():
            self._reading = False
            self._transport.pause_reading()
        self._account()

    def _send(self) -> None:
        self.active_at = self._loop.time()
        data = self._outgoing[0] if len(self._outgoing) == 1 else b"".join(self._outgoing)
        self._outgoing.clear()
        self._outgoing_bytes = 0
        self._transport.write(data)
        if self._unsent_bytes is not None:
            self._unsent_bytes = self._transport.get_write_buffer_size()

    def _account(self) -> None:
        held = self._in_flight_bytes + (self._unsent_bytes or 0) + self._receiver.buffered_bytes
        if held != self.held_bytes:
            self._hub.holds(self, held - self.held_bytes)
            self.held_bytes = held

    # -- the end -------------------------------------------------------------------------------

    def end(self) -> None:
        """Begin nothing more; answer what has begun, looking out for changes no longer; then close."""
        self._ending = True
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()  # or we would not hear TLS say goodbye
        for answer in self._pending:
            if answer.work is not None:
                self._hub.driver.end_watch(answer.work)
        self.flush()

    def failed(self, reason: str, error: BaseException | None) -> None:
        """Close the connection: what comes over it makes no sense, or we have no answer to it."""
        if not self._gone:
            self._hub.misbehaved(self.peer, reason, error)
            self.leave()

    def leave(self) -> None:
        """Send what is answered already, and close."""
        if not self._gone:
            if self._outgoing:
                self._send()
            self.close()

    def close(self) -> None:
        """Let what is being sent arrive, but nothing else."""
        self._ending = self._gone = True
        self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        self._ending = self._gone = True
        self._transport.abort()


def _peer_of(transport: asyncio.Transport) -> tuple[str, str]:
    """Return who is at the other end, to be shown, and its host."""
    name = transport.get_extra_info("peername")
    if isinstance(name, tuple):
        host, port = name[:2]
        return (f"[{host}]:{port}" if ":" in host else f"{host}:{port}"), host
    return "a local process", "localhost"
