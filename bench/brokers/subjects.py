"""The brokers that are measured, each as a process of its own on a directory of its own.

Apache Kafka runs as one node from Maven's jars, once as it comes, where *acknowledged* means in the
page cache, and once with `flush.messages=1`, where it means on disk as it does in Millpond.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient

START_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Running:
    """A broker that answers."""

    address: str
    pid: int
    start_s: float

    def memory(self) -> tuple[int, int]:
        """Return the bytes of memory that the process has now, and the most it has had."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        told = dict(line.split(":", 1) for line in lines)
        return _kibibytes(told["VmRSS"]), _kibibytes(told["VmHWM"])

    def cpu_s(self) -> float:
        """Return how long the process has computed."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100


@dataclass(frozen=True, slots=True)
class Subject:
    """A broker to be measured; `start` runs it while it is needed."""

    name: str
    start: Callable[[Path], contextlib.AbstractContextManager[Running]]


@contextlib.contextmanager
def millpond(directory: Path) -> Iterator[Running]:
    """Start our broker; acknowledged means on disk."""
    port = free_port()
    command = [sys.executable, "-m", "millpond.streams.cli", "broker", "--data", str(directory)]
    command += ["--listen", f"127.0.0.1:{port}"]
    with _running(command, directory, port) as running:
        yield running


@contextlib.contextmanager
def apache_kafka(directory: Path, jars: Path, *, flush: bool) -> Iterator[Running]:
    """Start Apache Kafka with the settings and the heap of its own scripts."""
    port, controller_port = free_port(), free_port()
    directory.mkdir(parents=True, exist_ok=True)
    properties = directory / "server.properties"
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller_port}",
        "log.dirs": directory / "log",
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
    }
    if flush:
        settings["log.flush.interval.messages"] = 1
    properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    java = ["java", "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-cp", f"{jars}/*"]
    tool = [*java, "kafka.tools.StorageTool"]
    cluster = subprocess.check_output([*tool, "random-uuid"], text=True).strip()
    formatting = [*tool, "format", "--standalone", "-t", cluster, "-c", str(properties)]
    subprocess.run(formatting, check=True, stdout=subprocess.DEVNULL)
    with _running([*java, "kafka.Kafka", str(properties)], directory, port) as running:
        yield running


@contextlib.contextmanager
def _running(command: list[str], directory: Path, port: int) -> Iterator[Running]:
    directory.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with (directory.parent / f"{directory.name}.out").open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=_with_bytecode_cache()
        )
    try:
        address = f"127.0.0.1:{port}"
        _wait_until_open(process, port)
        start_s = time.monotonic() - begun
        AdminClient({"bootstrap.servers": address}).list_topics(timeout=START_TIMEOUT_S)
        yield Running(address, process.pid, start_s)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def _wait_until_open(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.005)
    raise RuntimeError(f"nothing listens on port {port}: {process.args!r}")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _with_bytecode_cache() -> dict[str, str]:
    """Return an environment in which Python keeps what it has compiled, as pip's installs do."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def _kibibytes(text: str) -> int:
    return int(text.split()[0]) << 10
