"""The brokers that the clients are run against: ours, Apache Kafka as the oracle, or one that is already there.

What a test expects is what Apache Kafka does; that is why it can be started here as well, from the same jars that the
Java client comes in. Both get the same settings, in Kafka's words: short timeouts, so that a crashed member is noticed
in a second or two.
"""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

START_TIMEOUT_S = 60

SETTINGS = {
    "group.min.session.timeout.ms": 1000,
    "group.initial.rebalance.delay.ms": 0,
    "group.consumer.min.session.timeout.ms": 1000,
    "group.consumer.session.timeout.ms": 2000,
    "group.consumer.min.heartbeat.interval.ms": 100,
    "group.consumer.heartbeat.interval.ms": 300,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 500,
}

KAFKA_SETTINGS = {
    "log.retention.ms": "-1",  # tests have records of years ago
    **SETTINGS,
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
}


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker that accepts connections."""

    address: str
    log_directory: Path | None  # None: we did not start it, so we don't know
    kill: Callable[[], None] | None = None


@contextlib.contextmanager
def millpond(data: Path) -> Iterator[Broker]:
    """Start `millpond broker` in a directory, and stop it at the end.

    A request that it failed to handle may have been tried again unnoticed: it must not have happened.
    """
    command = [sys.executable, "-m", "millpond.streams.cli", "broker", "--data", str(data)]
    command += ["--listen", "127.0.0.1:0"]
    for name, value in SETTINGS.items():
        command += ["--set", f"{name}={value}"]
    with _running(command, data) as (process, output):
        yield Broker(_address_told(process, output), data / "log")
    told = output.read_text()
    assert "Traceback" not in told, told
    assert process.returncode == 0, f"the broker ended with {process.returncode}: {told}"


@contextlib.contextmanager
def apache_kafka(
    data: Path,
    jars: Path,
    *,
    settings: Mapping[str, str] = MappingProxyType({}),
    format_options: Sequence[str] = (),
) -> Iterator[Broker]:
    """Start Apache Kafka, as one node, in a directory, and stop it at the end.

    What it is set up with at its first start counts for later ones.
    """
    java = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-cp", f"{jars}/*"]
    properties = data / "server.properties"
    if not properties.exists():
        _format_for_kafka(properties, java, settings, format_options)
    port = int(properties.read_text().split("listeners=PLAINTEXT://127.0.0.1:")[1].split(",")[0])
    with _running([*java, "kafka.Kafka", str(properties)], data) as (process, output):
        _wait_until(process, output, lambda: _accepts_connections(port))
        yield Broker(f"127.0.0.1:{port}", data / "log", process.kill)


def _format_for_kafka(
    properties: Path, java: list[str], more: Mapping[str, str], options: Sequence[str]
) -> None:
    port, controller_port = _free_ports(2)
    settings = {
        **KAFKA_SETTINGS,
        **more,
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller_port}",
        "log.dirs": properties.parent / "log",
    }
    properties.parent.mkdir(parents=True, exist_ok=True)
    properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    storage_tool = [*java, "kafka.tools.StorageTool"]
    cluster_id = subprocess.check_output([*storage_tool, "random-uuid"], text=True).strip()
    subprocess.run(
        [
            *storage_tool,
            "format",
            "--standalone",
            "-t",
            cluster_id,
            "-c",
            str(properties),
            *options,
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )


@contextlib.contextmanager
def _running(command: list[str], data: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    data.mkdir(parents=True, exist_ok=True)
    output = data / "broker.out"
    with output.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield process, output
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until(
    process: subprocess.Popen[bytes], output: Path, is_ready: Callable[[], bool]
) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not is_ready():
        if time.monotonic() > deadline or process.poll() is not None:
            raise RuntimeError(f"the broker does not start, but says:\n{output.read_text()}")
        time.sleep(0.02)


def _address_told(process: subprocess.Popen[bytes], output: Path) -> str:
    _wait_until(process, output, lambda: "is ready: " in output.read_text())
    return output.read_text().split("is ready: ")[1].split(",")[0]


def _accepts_connections(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        return [int(free.getsockname()[1]) for free in sockets]
