"""One client's connection: frames in, requests to their handlers, responses out in the order of requests.

Requests begin in the order in which they came. While a handler waits the next ones begin, but responses
leave in the order of their requests: one that is finished waits for those before it.

What is finished in the same turn of the loop leaves in one write.
"""

import asyncio
from collections import deque
from types import GeneratorType
from typing import Any, Protocol

from ..broker.handlers.api_versions import unknown_version
from ..broker.node import Caller, Endpoint
from ..broker.served import Served
from ..wire.api import Api
from ..wire.errors import MalformedMessage, UnsupportedVersion
from ..wire.frames import (
    API_VERSIONS_KEY,
    encode_response,
    read_request_header,
    read_request_start,
)
from .driver import Driver, Work
from .frames_in import FrameReceiver


class Hub(Protocol):
    """What all connections share."""

    driver: Driver
    receive_buffer: memoryview

    def frame_bytes_max(self, api_key: int) -> int:
        """Return how large a request may be."""

    def opened(self, connection: "Connection") -> bool:
        """Note a new connection; say whether it may stay."""

    def closed(self, connection: "Connection") -> None:
        """Forget a connection."""

    def to_be_flushed(self, connection: "Connection") -> None:
        """Have `flush` called in this turn of the loop."""

    def complain(self, peer: str, reason: str, error: BaseException | None = None) -> None:
        """Tell the operator why a connection was closed."""


class Connection(asyncio.BufferedProtocol):
    """The protocol of one connection."""

    def __init__(self, hub: Hub, endpoint: Endpoint | None) -> None:
        """Make the protocol of a connection that is about to be made.

        Args:
            hub: what all connections share.
            endpoint: where clients reach the listener; None: at the address that they came to.
        """
        self.peer = ""
        self._hub = hub
        self._endpoint = endpoint
        self._transport: asyncio.Transport
        self._receiver = FrameReceiver(hub.receive_buffer, hub.frame_bytes_max)
        self._pending: deque[Answer] = deque()
        self._outgoing: list[bytes] = []
        self._callers: dict[tuple[int, str | None], Caller] = {}
        self._closing = False

    # -- what the transport calls --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.peer, self._host = _peer_of(transport)
        if self._endpoint is None:
            host, port, *_ = transport.get_extra_info("sockname")
            self._endpoint = Endpoint(host, port)
        if not self._hub.opened(self):
            self._closing = True
            transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._receiver.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        self._receiver.received(nbytes)
        self._take_frames()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        for answer in self._pending:
            if answer.work is not None:
                self._hub.driver.abandon(answer.work)
        self._pending.clear()
        self._hub.closed(self)

    # -- requests ------------------------------------------------------------------------------

    def _take_frames(self) -> None:
        receiver = self._receiver
        try:
            while not self._closing and (frame := receiver.next_frame()) is not None:
                self._begin(frame)
        except (MalformedMessage, UnsupportedVersion) as error:
            self.fail(str(error))
        except Exception as error:  # noqa: BLE001 - a fault of ours ends this connection, not the broker
            self.fail("a request could not be handled", error)
        receiver.keep_rest()
        self.flush()

    def _begin(self, frame: memoryview) -> None:
        api_key, version, correlation_id = read_request_start(frame)
        node = self._hub.driver.node
        served = node.served.get(api_key)
        if served is None:
            raise UnsupportedVersion(f"API {api_key} version {version}: not served")
        answer = Answer(self, served.api, version, correlation_id)
        if not served.first <= version <= served.last:
            if api_key != API_VERSIONS_KEY:
                raise UnsupportedVersion(
                    f"{served.api.name} version {version}: served are {served.first} to {served.last}"
                )
            answer.version = 0
            self._pending.append(answer)
            answer.finish(unknown_version(node), None)
            return
        header = read_request_header(frame, flexible=served.api.is_flexible(version))
        request = served.api.read_request(version, frame, header.body_position)
        caller = self._caller(version, header.client_id)
        self._pending.append(answer)
        result = served.handle(node, request, caller)
        if type(result) is GeneratorType:
            answer.work = self._hub.driver.start(result, answer.finish)
        else:
            self._hub.driver.turn_soon()
            answer.finish(result, None)

    def _caller(self, version: int, client_id: str | None) -> Caller:
        caller = self._callers.get((version, client_id))
        if caller is None:
            assert self._endpoint is not None
            caller = Caller(version, client_id or "", self._host, self._endpoint)
            if len(self._callers) < 64:
                self._callers[version, client_id] = caller
        return caller

    # -- responses -----------------------------------------------------------------------------

    def answered(self) -> None:
        """Take over the responses whose turn it is."""
        pending = self._pending
        while pending and pending[0].done:
            answer = pending.popleft()
            if answer.response:
                self._outgoing.append(answer.response)
        if self._outgoing:
            self._hub.to_be_flushed(self)

    def flush(self) -> None:
        """Send what may be sent."""
        if self._outgoing and not self._transport.is_closing():
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    def fail(self, reason: str, error: BaseException | None = None) -> None:
        """Close the connection, as what comes over it makes no sense, or we can't answer it."""
        if not self._closing:
            self._closing = True
            self._hub.complain(self.peer, reason, error)
            self.flush()
            self._transport.close()


class Answer:
    """The answer to a request, still to come or waiting for its turn."""

    __slots__ = ("api", "connection", "correlation_id", "done", "response", "version", "work")

    def __init__(
        self, connection: Connection, api: Api[Any, Any], version: int, correlation_id: int
    ) -> None:
        self.connection = connection
        self.api = api
        self.version = version
        self.correlation_id = correlation_id
        self.done = False
        self.response = b""
        self.work: Work | None = None

    def finish(self, result: Any, error: Exception | None) -> None:
        """Take what the handler has returned; None is no answer at all."""
        self.done = True
        self.work = None
        if error is None and result is not None:
            try:
                self.response = encode_response(
                    self.api, self.version, self.correlation_id, result
                )
            except Exception as fault:  # noqa: BLE001 - the handler's answer was none
                error = fault
        if error is not None:
            self.connection.fail(f"{self.api.name} version {self.version} failed", error)
        else:
            self.connection.answered()


def _peer_of(transport: asyncio.Transport) -> tuple[str, str]:
    """Return who is at the other end, to be shown, and its host."""
    name = transport.get_extra_info("peername")
    if isinstance(name, tuple):
        host, port = name[:2]
        return (f"[{host}]:{port}" if ":" in host else f"{host}:{port}"), host
    return "a local process", "localhost"
