"""Where a broker can be reached, and what it says of that."""

import socket
import ssl
from pathlib import Path

import pytest
from millpond.log.errors import ConfigError
from millpond.log.shell.listeners import Listener
from millpond.log.wire.messages.api_versions import API_VERSIONS
from millpond.log.wire.messages.metadata import METADATA, MetadataRequest
from millpond.log.wire.messages.produce import PRODUCE

from ..twins.plain_requests import (
    PRODUCE_VERSION,
    WHICH_APIS,
    make_topic,
    offset_of,
    produce_to,
)
from ..twins.raw_client import RawClient
from ..twins.running_broker import RunningBroker

CERTIFICATE = Path(__file__).parent / "tls" / "localhost.pem"
KEY = Path(__file__).parent / "tls" / "localhost.key"


def told_by(client: RawClient) -> tuple[str, int]:
    """Return where the broker says it is."""
    (broker,) = client.ask(METADATA, 9, MetadataRequest(topics=[])).brokers
    return broker.host, broker.port


def test_several_listeners_each_tell_of_themselves(tmp_path: Path) -> None:
    path = str(tmp_path / "mill")
    listeners = [
        Listener("127.0.0.1:0"),
        Listener("[::1]:0"),
        Listener("127.0.0.1:0", advertised="mill.example:9092"),
        Listener(f"unix:{path}"),
    ]
    with RunningBroker(listeners=listeners) as broker:
        ipv4, ipv6, behind, unix = broker.addresses
        assert unix == path
        assert not isinstance(ipv4, str)
        assert not isinstance(ipv6, str)
        assert not isinstance(behind, str)
        with RawClient(ipv4.host, ipv4.port) as client:
            assert told_by(client) == ("127.0.0.1", ipv4.port)
        with RawClient(ipv6.host, ipv6.port) as client:
            assert told_by(client) == ("::1", ipv6.port)
        with RawClient(behind.host, behind.port) as client:
            assert told_by(client) == ("mill.example", 9092)
        local = socket.socket(socket.AF_UNIX)
        local.connect(path)
        with RawClient("", 0, connected=local) as client:
            assert client.ask(API_VERSIONS, 3, WHICH_APIS).api_keys
    assert not Path(path).exists()


def test_all_addresses_means_the_one_that_was_used() -> None:
    with RunningBroker(listeners=[Listener(":0")]) as broker:
        ports = {address.port for address in broker.addresses if not isinstance(address, str)}
        assert len(ports) == 1
        with broker.client() as client:
            assert told_by(client) == ("127.0.0.1", broker.port)


def test_tls() -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(CERTIFICATE, KEY)
    trusting = ssl.create_default_context(cafile=str(CERTIFICATE))
    with RunningBroker(tls=server) as broker:
        plain = socket.create_connection(("127.0.0.1", broker.port), 10)
        with RawClient(
            "", 0, connected=trusting.wrap_socket(plain, server_hostname="localhost")
        ) as client:
            make_topic(client, "orders")
            large = produce_to("orders", [bytes(1_000_000)])
            for number in range(20):
                client.send(PRODUCE, PRODUCE_VERSION, large)
                client.send(API_VERSIONS, 3, WHICH_APIS)
                assert offset_of(client.receive()) == number
                assert client.receive().api_keys
        with broker.client() as unencrypted:
            unencrypted.send(API_VERSIONS, 3, WHICH_APIS)
            assert unencrypted.is_closed_by_broker()


def test_a_socket_that_a_killed_broker_left_is_used_again(tmp_path: Path) -> None:
    path = str(tmp_path / "mill")
    left = socket.socket(socket.AF_UNIX)
    left.bind(path)
    left.close()
    with RunningBroker(listeners=[Listener(f"unix:{path}")]) as broker:
        assert broker.addresses == [path]
        with pytest.raises(ConfigError, match=r"can't listen at 'unix:.*Address already in use"):
            RunningBroker(listeners=[Listener(f"unix:{path}")]).__enter__()


def test_a_port_that_is_taken_is_told_before_the_log_is_opened(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        broker = RunningBroker(tmp_path / "log", listeners=[Listener(address)])
        with pytest.raises(
            ConfigError, match=f"can't listen at '{address}': Address already in use"
        ):
            broker.__enter__()
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    "address", ["", "9092", "localhost", "localhost:http", "::1:9092", "[::1]", "x:99999", "unix:"]
)
def test_what_is_no_address_is_told_with_what_would_be(address: str) -> None:
    with pytest.raises(ConfigError, match=r"write HOST:PORT, \[IPV6\]:PORT"):
        RunningBroker(listeners=[Listener(address)]).__enter__()


def test_nobody_can_be_told_to_connect_to_all_addresses() -> None:
    with pytest.raises(ConfigError, match="':9092' can't be advertised"):
        RunningBroker(listeners=[Listener("127.0.0.1:0", advertised=":9092")]).__enter__()
