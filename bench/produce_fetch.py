"""`python -m bench.produce_fetch`: what Produce and Fetch cost the broker, without a network.

One broker in this process, on a real disk, without syncs. Requests go through the codec both ways, as
they do in the server. Printed is the best of many rounds, in microseconds for each request and in MB
per second. `--allocator system` leaves the C library as it is; else it is told what a broker tells it
(`log/shell/allocator.py`).
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from millpond.log.broker.handlers.table import SERVED
from millpond.log.broker.node import Caller, Endpoint
from millpond.log.model import NewRecord
from millpond.log.records import encode_batch
from millpond.log.shell.allocator import keep_large_buffers
from millpond.log.shell.disk import RealDisk
from millpond.log.wire.api import Api
from millpond.log.wire.frames import encode_request, encode_response, read_request_header
from millpond.log.wire.messages.fetch import FETCH, FetchPartition, FetchRequest, FetchTopic
from millpond.log.wire.messages.produce import (
    PRODUCE,
    PartitionProduceData,
    ProduceRequest,
    TopicProduceData,
)
from millpond.log.wire.schema import Message
from millpond.tests.twins.node_world import NodeWorld

ROUNDS = 300
REQUESTS_PER_ROUND = 3
PRODUCE_VERSION, FETCH_VERSION = 9, 12
MANY_PARTITIONS = 500
MEBIBYTE = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--allocator", choices=["broker", "system"], default="broker")
    parser.add_argument("--directory", help="on the disk to be measured")
    chosen = parser.parse_args()
    if chosen.allocator == "broker":
        keep_large_buffers()
    with tempfile.TemporaryDirectory(dir=chosen.directory) as directory:
        world = NodeWorld(disk=RealDisk(directory))  # type: ignore[arg-type]
        world.create("many", MANY_PARTITIONS)
        for size, records in ((1_000, 1), (100_000, 100), (1_000_000, 1000)):
            topic = f"of-{size}"
            world.create(topic, segment_bytes=str(2**30))
            for log in world.node.broker.partitions.values():
                log.durable_reads = False
            show(f"produce {size:,} bytes", world, PRODUCE, produced(world, topic, size, records))
            for bytes_max in (4096, MEBIBYTE):
                asked = fetched(topic, 1, bytes_max, offset=records * 500)
                show(f"fetch {bytes_max:,} bytes in batches of {size:,}", world, FETCH, asked)
        nothing = fetched("many", MANY_PARTITIONS, MEBIBYTE, offset=0)
        show(f"fetch {MANY_PARTITIONS} partitions without news", world, FETCH, nothing)


def show(name: str, world: NodeWorld, api: Api[Any, Any], request: Message) -> None:
    version = PRODUCE_VERSION if api is PRODUCE else FETCH_VERSION
    frame = encode_request(api, version, 1, "bench", request)[4:]
    moved = max(len(frame), len(answered(world, api, version, frame)))
    seconds = best(lambda: answered(world, api, version, frame))
    print(f"{name:48} {seconds * 1e6:9.1f} µs {moved / seconds / 1e6:9.0f} MB/s")


def answered(world: NodeWorld, api: Api[Any, Any], version: int, frame: bytes) -> bytes:
    """Do what the server does between two sockets."""
    view = memoryview(frame)
    header = read_request_header(view, flexible=api.is_flexible(version))
    request = api.read_request(version, view, header.body_position)
    caller = Caller(version, "bench", "127.0.0.1", Endpoint("127.0.0.1", 9092))
    handling: Iterator[Any] = SERVED[api.key].handle(world.node, request, caller)
    try:
        while True:
            next(handling)  # there is nothing to wait for
    except StopIteration as done:
        return encode_response(api, version, 1, done.value)


def produced(world: NodeWorld, topic: str, size: int, records: int) -> ProduceRequest:
    values = [os.urandom(size // records) for _ in range(records)]
    batch = encode_batch([NewRecord(None, value, world.clock.now()) for value in values])
    data = PartitionProduceData(index=0, records=bytes(batch))
    return ProduceRequest(
        acks=1, timeout_ms=1000, topic_data=[TopicProduceData(name=topic, partition_data=[data])]
    )


def fetched(topic: str, partitions: int, bytes_max: int, *, offset: int) -> FetchRequest:
    asked = [
        FetchPartition(partition=number, fetch_offset=offset, partition_max_bytes=bytes_max)
        for number in range(partitions)
    ]
    return FetchRequest(
        max_wait_ms=0, min_bytes=1, topics=[FetchTopic(topic=topic, partitions=asked)]
    )


def best(act: Callable[[], object]) -> float:
    """Return the seconds of one call, in the round that was disturbed least."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(REQUESTS_PER_ROUND):
            act()
        rounds.append((time.perf_counter() - started) / REQUESTS_PER_ROUND)
    return min(rounds)


if __name__ == "__main__":
    main()
