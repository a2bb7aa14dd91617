"""Records what real clients send: a proxy that keeps the requests which pass.

with Recorder() as recorder:                   # the broker is to advertise recorder.address
    recorder.broker_port = …
    …                                          # clients of that address
frames = recorder.frames()
"""

import socket
import threading
from types import TracebackType
from typing import Self

from millpond.log.wire.frames import LENGTH


class Recorder:
    """A context manager: listens inside."""

    def __init__(self) -> None:
        self.broker_port = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._streams: list[bytearray] = []
        self._sockets: list[socket.socket] = []

    def frames(self) -> list[bytes]:
        """Return each different request, its length included, in the order in which they came."""
        frames: dict[bytes, None] = {}
        for stream in self._streams:
            position = 0
            while position + LENGTH.size <= len(stream):
                (size,) = LENGTH.unpack_from(stream, position)
                end = position + LENGTH.size + size
                frames[bytes(stream[position:end])] = None
                position = end
        return list(frames)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection(("127.0.0.1", self.broker_port))
            except OSError:  # it has stopped, and a client hasn't noticed yet
                client.close()
                continue
            self._sockets += [client, broker]
            requests, responses = bytearray(), bytearray()
            self._streams.append(requests)
            for way in ((client, broker, requests), (broker, client, responses)):
                threading.Thread(target=_pump, args=way, daemon=True).start()


def _pump(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    try:
        while data := source.recv(65536):
            kept += data
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
