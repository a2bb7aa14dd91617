"""A client of nothing but a socket and our own codec: what tests of a running broker talk with.

    with RawClient("127.0.0.1", port) as client:
        response = client.ask(METADATA, 12, MetadataRequest(topics=None))

        client.send(PRODUCE, 9, first)                  # without waiting
        client.send(PRODUCE, 9, second)
        assert client.receive().responses[0] …          # responses come in the order of requests

        client.send_bytes(b"\\x7f\\xff\\xff\\xff")      # whatever no proper client would send
        assert client.is_closed_by_broker()

It blocks, so that a test reads from top to bottom; a broker in the same process needs a thread of
its own. It retries nothing, looks for no leader and has no opinion on any response.
"""

import socket
from collections import deque
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from millpond.log.wire.api import Api
from millpond.log.wire.frames import LENGTH, encode_request, read_response
from millpond.log.wire.schema import Message

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class ClosedByBroker(Exception):
    """The broker closed the connection, where a response was expected."""


class _Sent(NamedTuple):
    api: Api[Any, Any]
    version: int
    correlation_id: int


class RawClient:
    """One connection to a broker."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        client_id: str | None = "raw-client",
        timeout_seconds: float = 10,
        connected: socket.socket | None = None,
    ) -> None:
        """Connect, unless a connection of another kind is given, such as one with TLS."""
        self.client_id = client_id
        if connected is None:
            connected = socket.create_connection((host, port), timeout_seconds)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connected
        self._last_correlation_id = 0
        self._unanswered: deque[_Sent] = deque()

    def ask(self, api: Api[RequestT, ResponseT], version: int, request: RequestT) -> ResponseT:
        """Send a request and wait for its response; none may be under way."""
        assert not self._unanswered, f"{len(self._unanswered)} responses are still to be received"
        self.send(api, version, request)
        response: ResponseT = self.receive()
        return response

    def send(
        self,
        api: Api[RequestT, ResponseT],
        version: int,
        request: RequestT,
        *,
        expect_response: bool = True,
    ) -> int:
        """Send a request; return its correlation id. Producing with acks=0 expects no response."""
        self._last_correlation_id += 1
        correlation_id = self._last_correlation_id
        self.socket.sendall(encode_request(api, version, correlation_id, self.client_id, request))
        if expect_response:
            self._unanswered.append(_Sent(api, version, correlation_id))
        return correlation_id

    def receive(self, *, as_version: int | None = None) -> Any:
        """Wait for the response to the oldest unanswered request.

        `as_version` is for ApiVersions, which answers a version that it doesn't know as version 0.

        Raises:
            ClosedByBroker, TimeoutError.
        """
        sent = self._unanswered[0]
        frame = self.receive_frame()
        version = sent.version if as_version is None else as_version
        correlation_id, response = read_response(sent.api, version, memoryview(frame))
        assert correlation_id == sent.correlation_id, (
            f"the response is to request {correlation_id}, that to {sent.correlation_id} is due"
        )
        self._unanswered.popleft()
        return response

    # -- bytes ---------------------------------------------------------------------------------

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def send_frame(self, body: bytes) -> None:
        """Send bytes as a request: behind their length."""
        self.socket.sendall(LENGTH.pack(len(body)) + body)

    def receive_frame(self) -> bytes:
        """Wait for one frame; return it without its length.

        Raises:
            ClosedByBroker, TimeoutError.
        """
        (length,) = LENGTH.unpack(self._receive_exactly(LENGTH.size))
        return self._receive_exactly(length)

    def is_closed_by_broker(self) -> bool:
        """Wait until the broker closes the connection; return False if it sends something instead.

        Raises:
            TimeoutError: it does neither.
        """
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def close_for_sending(self) -> None:
        """Say that no more requests will come; responses can still be received."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the connection, whatever is under way."""
        self.socket.close()

    def _receive_exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            try:
                received = self.socket.recv(size - len(data))
            except ConnectionError as error:
                raise ClosedByBroker(f"{len(data)} of {size} bytes came: {error}") from error
            if not received:
                raise ClosedByBroker(f"{len(data)} of {size} bytes came")
            data += received
        return bytes(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
