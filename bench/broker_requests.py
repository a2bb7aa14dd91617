"""`python -m bench.broker_requests`: what a request costs the broker, with a client that costs little.

A broker in a process of its own, and this process, which writes the same encoded request again and again
over raw sockets and counts the bytes of the responses. `--depth` requests are under way on each
connection. Printed are requests per second and the broker's CPU time per request.

    produce   one batch with one record of --bytes, acks=all, fsync unless --durability says otherwise
    fetch     what produce has written, 1 MiB at a time
    versions  ApiVersions: what is left when nothing is done
"""

import argparse
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from millpond.log.model import NewRecord
from millpond.log.records import encode_batch
from millpond.log.wire.frames import LENGTH, encode_request
from millpond.log.wire.messages.api_versions import API_VERSIONS, ApiVersionsRequest
from millpond.log.wire.messages.fetch import FETCH, FetchPartition, FetchRequest, FetchTopic
from millpond.log.wire.messages.metadata import METADATA, MetadataRequest, MetadataRequestTopic
from millpond.log.wire.messages.produce import (
    PRODUCE,
    PartitionProduceData,
    ProduceRequest,
    TopicProduceData,
)

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "what", nargs="?", default="produce", choices=["produce", "fetch", "versions"]
    )
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--depth", type=int, default=128, help="requests under way per connection")
    parser.add_argument("--bytes", type=int, default=1000, help="of the record")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--durability", default="fsync")
    parser.add_argument("--directory", help="on the disk to be measured")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=chosen.directory) as directory,
        running_broker(Path(directory), chosen.durability) as broker,
    ):
        create_topic(broker.port)
        frame = frame_of(chosen.what, chosen.bytes)
        if chosen.what == "fetch":
            drive(broker.port, frame_of("produce", chosen.bytes), 1, 16, 1.0)
        drive(broker.port, frame, chosen.connections, chosen.depth, 0.5)  # warm up
        before = broker.cpu_s()
        done, received, elapsed = drive(
            broker.port, frame, chosen.connections, chosen.depth, chosen.seconds
        )
        cpu_s = broker.cpu_s() - before
    print(
        f"{chosen.what}: {done / elapsed:,.0f} requests/s over {chosen.connections} connections, "
        f"{chosen.depth} under way on each; {cpu_s / done * 1e6:.1f} µs of CPU each; "
        f"{done * len(frame) / elapsed / 1e6:,.0f} MB/s in, {received / elapsed / 1e6:,.0f} MB/s out"
    )


@dataclass
class RunningBroker:
    """A broker in another process."""

    process: subprocess.Popen[str]
    port: int

    def cpu_s(self) -> float:
        """Return the CPU time it has taken so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


@contextmanager
def running_broker(directory: Path, durability: str) -> Iterator[RunningBroker]:
    command = [sys.executable, "-m", "millpond.streams.cli", "broker", "--data", str(directory)]
    command += ["--listen", "127.0.0.1:0", "--durability", durability]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", ready)
        assert found, f"the broker said {ready!r}"
        yield RunningBroker(process, int(found[1]))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def create_topic(port: int) -> None:
    topic = MetadataRequestTopic(name="measured")
    frame = encode_request(METADATA, 9, 1, "bench", MetadataRequest(topics=[topic]))
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(frame)
        receive_frame(client)


def receive_frame(client: socket.socket) -> bytes:
    with client.makefile("rb") as file:
        (size,) = LENGTH.unpack(file.read(LENGTH.size))
        return file.read(size)


def frame_of(what: str, record_bytes: int) -> bytes:
    if what == "versions":
        asked = ApiVersionsRequest(client_software_name="bench", client_software_version="1")
        return encode_request(API_VERSIONS, 3, 1, "bench", asked)
    if what == "fetch":
        partition = FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1 << 20)
        fetch = FetchRequest(
            max_wait_ms=500,
            min_bytes=1,
            max_bytes=1 << 20,
            topics=[FetchTopic(topic="measured", partitions=[partition])],
        )
        return encode_request(FETCH, 12, 1, "bench", fetch)
    batch = encode_batch([NewRecord(None, bytes(record_bytes), 1_700_000_000_000)])
    produce = ProduceRequest(
        acks=-1,
        timeout_ms=30_000,
        topic_data=[
            TopicProduceData(
                name="measured",
                partition_data=[PartitionProduceData(index=0, records=memoryview(batch))],
            )
        ],
    )
    return encode_request(PRODUCE, 9, 1, "bench", produce)


class Driven:
    """One connection, with so many requests under way."""

    def __init__(self, port: int, frame: bytes, depth: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(frame)
        self.response_bytes = 4 + len(receive_frame(self.socket))
        self.frame = frame
        self.answered = 0
        self.received_bytes = 0
        self.unsent = memoryview(frame * depth)
        self.socket.setblocking(False)

    def send(self) -> None:
        while self.unsent:
            try:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
            except BlockingIOError:
                return

    def receive(self, buffer: memoryview) -> int:
        count = self.socket.recv_into(buffer)
        assert count, "the broker has closed the connection"
        self.received_bytes += count
        answered = self.received_bytes // self.response_bytes
        if answered > self.answered:
            more = self.frame * (answered - self.answered)
            self.unsent = memoryview(bytes(self.unsent) + more if self.unsent else more)
            self.answered = answered
        return count


def drive(
    port: int, frame: bytes, connections: int, depth: int, seconds: float
) -> tuple[int, int, float]:
    """Keep the broker busy; return requests answered, bytes received, and seconds."""
    buffer = memoryview(bytearray(1 << 20))
    driven = [Driven(port, frame, depth) for _ in range(connections)]
    begun = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for one in driven:
            one.send()
            selector.register(one.socket, selectors.EVENT_READ, one)
        while time.perf_counter() - begun < seconds:
            for key, _events in selector.select(0.01):
                key.data.receive(buffer)
                key.data.send()
            for one in driven:
                if one.unsent:
                    one.send()
    elapsed = time.perf_counter() - begun
    for one in driven:
        one.socket.close()
    return sum(one.answered for one in driven), sum(one.received_bytes for one in driven), elapsed


if __name__ == "__main__":
    main()
