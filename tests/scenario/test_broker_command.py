"""`millpond broker`: what it prints, how it fails, how it stops, and that its directory is the app's."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import anyio
import pytest
from millpond.log.broker.settings import BrokerSettings
from millpond.log.embedded import EmbeddedLog
from millpond.log.model import NewRecord, TopicPartition, TopicSpec
from millpond.log.wire.messages.api_versions import API_VERSIONS
from millpond.log.wire.messages.fetch import FETCH
from millpond.log.wire.messages.produce import PRODUCE
from millpond.streams.cli import plain_broker
from millpond.streams.cli.broker import Chosen, chosen_of

from ..twins.broker_process import BrokerProcess
from ..twins.plain_requests import (
    FETCH_VERSION,
    PRODUCE_VERSION,
    WHICH_APIS,
    fetch_from,
    make_topic,
    offset_of,
    produce_to,
    values_of,
)
from ..twins.raw_client import ClosedByBroker

FOR_EVER_MS = 60_000


def run(*arguments: str) -> tuple[int, str, str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "millpond.streams.cli", "broker", *arguments]
    if "--listen" not in arguments:
        command += ["--listen", "127.0.0.1:0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout, done.stderr


def test_it_says_where_it_is_and_stops_in_order(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with BrokerProcess(data, "--node-id", "7", "--set", "num.partitions=3") as broker:
        assert broker.ready_line == (
            f"millpond broker 7 is ready: 127.0.0.1:{broker.port}, directory {data}\n"
        )
        with broker.client() as client:
            make_topic(client, "orders")
            client.send(PRODUCE, PRODUCE_VERSION, produce_to("orders", [b"a"]))
            client.send(FETCH, FETCH_VERSION, fetch_from("orders", 1, wait_ms=FOR_EVER_MS))
            assert offset_of(client.receive()) == 0
            broker.process.send_signal(signal.SIGTERM)
            assert values_of(client.receive()) == []
            assert client.is_closed_by_broker()
        assert broker.wait() == (0, "")
    assert (data / "log" / "orders-2").is_dir()
    assert (data / "log" / ".kafka_cleanshutdown").exists()
    code, _out, told = run("--data", str(data))
    assert code == 2
    assert "belongs to node '7', but this is node 1: give the broker that node id, or" in told


def test_a_directory_goes_from_app_to_broker_and_back(tmp_path: Path) -> None:
    partition = TopicPartition("orders", 0)

    async def append(value: bytes) -> None:
        async with EmbeddedLog.open(tmp_path / "log") as log:
            if "orders" not in await log.describe_topics():
                await log.create_topics([TopicSpec("orders", 1)])
            producer = await log.producer()
            await producer.append({partition: [NewRecord(None, value, 1_700_000_000_000)]})

    async def read() -> list[bytes | None]:
        async with EmbeddedLog.open(tmp_path / "log") as log:
            reader = log.reader()
            reader.assign({partition: 0})
            fetched = await reader.read()
            return [record.value for one in fetched for record in one.records]

    anyio.run(append, b"from the app")
    with BrokerProcess(tmp_path) as broker:
        with broker.client() as client:
            request = produce_to("orders", [b"from a client"])
            assert offset_of(client.ask(PRODUCE, PRODUCE_VERSION, request)) == 1
        broker.stop()
    anyio.run(append, b"from the app again")
    assert anyio.run(read) == [b"from the app", b"from a client", b"from the app again"]
    with BrokerProcess(tmp_path) as broker, broker.client() as client:
        fetched = client.ask(FETCH, FETCH_VERSION, fetch_from("orders", 0))
        assert values_of(fetched) == [b"from the app", b"from a client", b"from the app again"]


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        os.kill(
            broker.process.pid, signal.SIGSTOP
        )  # so that both signals are there when it goes on
        broker.process.send_signal(signal.SIGTERM)
        broker.process.send_signal(signal.SIGINT)
        os.kill(broker.process.pid, signal.SIGCONT)
        code, told = broker.wait()
        assert code in (130, 143)
        assert told == "stopped at once\n"


def test_a_disk_that_takes_no_more_ends_the_broker(tmp_path: Path) -> None:
    request, acknowledged = produce_to("orders", [bytes(9_000)]), 0
    with BrokerProcess(tmp_path, file_bytes_max=200_000) as broker, broker.client() as client:
        make_topic(client, "orders")
        with suppress(ClosedByBroker):
            while offset_of(client.ask(PRODUCE, PRODUCE_VERSION, request)) == acknowledged:
                acknowledged += 1
        code, told = broker.wait()
        assert code == 1
        assert re.fullmatch(
            r"error: could not write to orders-0/0+\.log: .* File too large\n", told
        )
    assert acknowledged > 10
    with BrokerProcess(tmp_path) as broker, broker.client() as client:
        fetched = client.ask(FETCH, FETCH_VERSION, fetch_from("orders", 0))
        assert len(values_of(fetched)) == acknowledged


def test_connections_leave_files_for_partitions(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, files_max=200) as broker, ExitStack() as crowd:
        clients = [crowd.enter_context(broker.client()) for _ in range(100)]
        for client in clients:
            assert client.ask(API_VERSIONS, 3, WHICH_APIS).api_keys
        with broker.client() as one_more:
            assert one_more.is_closed_by_broker()
        make_topic(clients[0], "orders")
        offset_of(clients[0].ask(PRODUCE, PRODUCE_VERSION, produce_to("orders", [b"a"])))


def test_what_is_wrong_is_told_in_one_line(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        code, out, told = run("--data", str(tmp_path), "--listen", "127.0.0.1:0")
        assert (code, out) == (1, "")
        assert re.fullmatch(r"error: log directory '.*' is in use by another process .*\n", told)
        taken = f"127.0.0.1:{broker.port}"
        code, out, told = run("--data", str(tmp_path / "other"), "--listen", taken)
        assert (code, out) == (2, "")
        assert told == f"error: can't listen at '{taken}': Address already in use\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["--set", "num.partition=3"],
            "there is no broker setting 'num.partition'; there are num.par",
        ),
        (["--set", "num.partitions"], "--set 'num.partitions' is not of the form name=value"),
        (
            ["--set", "num.partitions=x"],
            "broker setting num.partitions='x' won't do: use a whole num",
        ),
        (["--node-id", "x"], "broker setting node.id='x' won't do: use a whole number"),
        (["--durability", "maybe"], "durability 'maybe' won't do: use fsync, interval, os"),
        (
            ["--tls-cert", "nowhere.pem"],
            "--tls-cert 'nowhere.pem' can't be used: [Errno 2] No such file",
        ),
        (["--tls-key", "nowhere.pem"], "--tls-key is of no use without --tls-cert"),
        (["--listen", "9092"], "'9092' is no address to listen at: write HOST:PORT"),
        (
            ["--listen", ":0", "--advertise", "a:1", "--advertise", "b:2"],
            "--advertise 'b:2' belongs",
        ),
    ],
)
def test_wrong_options_are_told_with_what_would_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    from millpond.streams.cli import run as run_here

    if "--listen" not in options:
        options = ["--listen", "127.0.0.1:0", *options]
    assert run_here(["broker", "--data", str(tmp_path), *options]) == 2
    assert capsys.readouterr().err.startswith(f"error: {told}")


def test_plain_options_need_no_help_from_typer() -> None:
    options = plain_broker(["broker", "--data", "d", "--listen", ":1", "--listen", ":2"])
    assert options == {"--data": ["d"], "--listen": [":1", ":2"]}
    assert chosen_of(options) == Chosen(data="d", listen=[":1", ":2"])
    assert plain_broker(["broker"]) == {}
    for other in (["--help"], ["--data"], ["--data", "a", "--data", "b"], ["--colour", "red"]):
        assert plain_broker(["broker", *other]) is None


def test_the_help_lists_all_settings(capsys: pytest.CaptureFixture[str]) -> None:
    from millpond.streams.cli import run as run_here

    assert run_here(["broker", "--help"]) == 0
    shown = capsys.readouterr().out
    for name, value in BrokerSettings().to_mapping().items():
        assert f"{name}={value}" in shown


def test_the_documentation_lists_all_settings() -> None:
    page = (Path(__file__).parents[2] / "docs" / "broker.md").read_text()
    for name, value in BrokerSettings().to_mapping().items():
        assert f"| `{name}` | {value} |" in page, name


def test_clients_of_this_machine_only_unless_told_otherwise() -> None:
    (address,) = Chosen(data="d").listen
    assert socket.inet_aton(address.split(":")[0])[0] == 127
