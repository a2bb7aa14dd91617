"""The network that the tests of clients break on purpose. These tests need no client."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from millpond.tests.clients.faulty_network import BREAK, FaultyNetwork


@pytest.fixture
def echo() -> Iterator[str]:
    """Run a server that sends back what it gets, in pieces of three bytes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(1000):
                for start in range(0, len(data), 3):
                    connection.sendall(data[start : start + 3])

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def connect(address: str) -> socket.socket:
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def received(connection: socket.socket, count: int) -> bytes:
    """Return so many bytes, or fewer if the connection ends."""
    data = b""
    try:
        while len(data) < count and (more := connection.recv(count - len(data))):
            data += more
    except ConnectionResetError:
        pass
    return data


def told(address: str) -> bytes:
    """Return an address as the protocol has it."""
    host, port = address.split(":")
    return host.encode() + int(port).to_bytes(4, "big")


def test_the_brokers_address_is_replaced_even_where_it_comes_in_pieces(echo: str) -> None:
    with FaultyNetwork(echo) as network, connect(network.address) as client:
        sent = b"1 " + told(echo) + b" 127.0.0.1 " + told(echo) + told("127.0.0.1:1") + b"."
        client.sendall(sent)
        expected = sent.replace(told(echo), told(network.address))
        assert received(client, len(expected)) == expected


def test_connections_break_so_many_times_and_then_no_more(echo: str) -> None:
    data = bytes(100_000)
    with FaultyNetwork(echo, seed=3, cuts_max=2, bytes_between_cuts=10_000) as network:
        lengths = []
        for _ in range(4):
            with connect(network.address) as client:
                lengths.append(len(echoed(client, data)))
        assert [length < len(data) for length in lengths] == [True, True, False, False]
        assert network.cuts == 2


def test_connections_open_at_the_same_time_share_the_cuts(echo: str) -> None:
    data = bytes(100_000)
    with (
        FaultyNetwork(echo, cuts_max=1, bytes_between_cuts=10_000) as network,
        connect(network.address) as one,
        connect(network.address) as other,
    ):
        for client in (one, other):
            client.sendall(b"x")
            assert received(client, 1) == b"x"
        assert len(echoed(one, data)) < len(data)
        assert echoed(other, data) == data
        assert network.cuts == 1


def echoed(client: socket.socket, data: bytes) -> bytes:
    """Send and return what comes back until the connection ends."""
    sending = threading.Thread(target=_send_all, args=(client, data))
    sending.start()
    back = received(client, len(data))
    sending.join()
    return back


def _send_all(client: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        client.sendall(data)


@pytest.mark.parametrize("by_message", [True, False])
def test_a_network_broken_for_good_carries_and_accepts_nothing(echo: str, by_message: bool) -> None:
    with FaultyNetwork(echo) as network, connect(network.address) as client:
        client.sendall(b"x")
        assert received(client, 1) == b"x"
        if by_message:
            with connect(network.address) as messenger:
                messenger.sendall(BREAK)
                assert received(messenger, 1) == b""
        else:
            network.break_for_good()
        assert received(client, 1) == b""
        with pytest.raises(OSError):
            connect(network.address)
