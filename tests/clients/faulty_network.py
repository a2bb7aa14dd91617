"""A network between a client and a broker that breaks connections, or carries nothing any more.

It is a TCP proxy. A client learns from the broker's metadata where to connect to next, and would so leave the proxy
behind; hence the broker's address is replaced by the proxy's own in all that comes from the broker. The address there
is a host, as text, followed by a port, as four bytes, in every version of the protocol.

Connections break after a number of bytes that is drawn with a seed, which may be in the midst of a request or an answer,
so that a client can't know what the broker has done. After `cuts_max` of them the network is good, so that tests end.

A program in another language breaks the network by sending `BREAK` to it.
"""

import contextlib
import random
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

CHUNK_BYTES = 16384
BREAK = b"BREAK\n"


class FaultyNetwork:
    """A proxy on its own port; use it as a context."""

    def __init__(
        self, broker: str, *, seed: int = 1, cuts_max: int = 0, bytes_between_cuts: int = 50_000
    ) -> None:
        host, port = broker.rsplit(":", 1)
        self._broker = (host, int(port))
        self._random = random.Random(seed)
        self._cuts_max = cuts_max
        self._bytes_between_cuts = bytes_between_cuts
        self.cuts = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._broken = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        own_port = int(self._listener.getsockname()[1])
        self.address = f"127.0.0.1:{own_port}"
        self._told = host.encode() + int(port).to_bytes(4, "big")
        self._told_instead = b"127.0.0.1" + own_port.to_bytes(4, "big")
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.break_for_good()

    def break_for_good(self) -> None:
        """Close every connection and accept no other: to the broker, the client has crashed."""
        with self._lock:
            if self._broken:
                return
            self._broken = True
            connections = list(self._open)
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in connections:
            _shut(connection)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            first = _receive(client)
            if first == BREAK:
                self.break_for_good()
                return
            with socket.create_connection(self._broker) as broker:
                for connection in (client, broker):
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    if self._broken:
                        return
                    self._open |= {client, broker}
                budget = self._budget()
                answers = threading.Thread(
                    target=self._carry_answers, args=(broker, client, budget)
                )
                answers.start()
                self._carry_requests(first, client, broker, budget)
                answers.join()
                with self._lock:
                    self._open -= {client, broker}

    def _budget(self) -> "_Budget":
        with self._lock:
            if self.cuts >= self._cuts_max:
                return _Budget(None, self._may_cut)
            size = self._random.randrange(2_000, 2 * self._bytes_between_cuts)
            return _Budget(size, self._may_cut)

    def _may_cut(self) -> bool:
        """Count a cut, unless there were enough of them.

        It counts before the client can see it: the client's next connection may be here before this
        one is cleared away. Of connections open at the same time, more may come to their end than
        there are cuts left.
        """
        with self._lock:
            if self.cuts >= self._cuts_max:
                return False
            self.cuts += 1
            return True

    def _carry_requests(
        self, first: bytes, client: socket.socket, broker: socket.socket, budget: "_Budget"
    ) -> None:
        chunk = first
        while chunk and _send(broker, budget.take(chunk)) and not budget.spent:
            chunk = _receive(client)
        _shut(broker)
        if budget.spent:
            _shut(client)

    def _carry_answers(
        self, broker: socket.socket, client: socket.socket, budget: "_Budget"
    ) -> None:
        held = b""
        while chunk := _receive(broker):
            carried = (held + chunk).replace(self._told, self._told_instead)
            kept = _length_of_prefix_at_end(carried, self._told)
            held = carried[len(carried) - kept :]
            if not _send(client, budget.take(carried[: len(carried) - kept])) or budget.spent:
                break
        _shut(client)
        _shut(broker)


class _Budget:
    """How many bytes a connection may still carry, in both directions together."""

    def __init__(self, size: int | None, may_cut: Callable[[], bool]) -> None:
        self._left = size
        self._may_cut = may_cut
        self._lock = threading.Lock()
        self.spent = False

    def take(self, chunk: bytes) -> bytes:
        """Return as much of a chunk as may be carried."""
        with self._lock:
            if self._left is None:
                return chunk
            if len(chunk) < self._left:
                self._left -= len(chunk)
                return chunk
            if not self.spent and not self._may_cut():
                self._left = None
                return chunk
            taken, self._left, self.spent = chunk[: self._left], 0, True
            return taken


def _length_of_prefix_at_end(data: bytes, pattern: bytes) -> int:
    """Return how many bytes at the end of `data` could be the start of `pattern`."""
    return next((n for n in range(len(pattern) - 1, 0, -1) if data.endswith(pattern[:n])), 0)


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(CHUNK_BYTES)
    except OSError:
        return b""


def _send(connection: socket.socket, data: bytes) -> bool:
    try:
        connection.sendall(data)
    except OSError:
        return False
    return True


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
