"""`python -m bench.cluster_reader`: what a reader of a log on a cluster costs, beside librdkafka's consumer.

A Millpond broker runs beside it, with its data in a directory. Each round reads a whole topic three
times, from its beginning to its end, each time with new connections:

- *touched*: a bare loop over `Consumer.consume` that asks each message for its key, value, timestamp
  and offset, and keeps none;
- *records*: the same loop, which makes of each message a record like a reader's, in a list by
  partition;
- *reader*: a `ClusterLog`'s reader, which fetches over connections of ours, and decodes whole batches.

Printed is the best of the rounds. Then: how long a record takes from the call of its append to a reader
that waits, and to whoever appends it; and the threads, the connections and the memory that many readers
of one partition each take, in a process of their own.
"""

import argparse
import gc
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

import anyio
from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as ClientPartition
from millpond.log.cluster.cluster_log import ClusterLog
from millpond.log.model import Headers, NewRecord, TopicPartition

from .brokers.subjects import Running, millpond
from .brokers.throughput import make_topic

ROUNDS = 5
AT_ONCE = 5000
SIZES = {100: 1_000_000, 1000: 200_000}
PARTITIONS = (1, 8)
READ_BYTES = 1 << 20
MANY = 200
LATENCIES = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="of the amount of data")
    parser.add_argument("--only", choices=["throughput", "latency", "footprint"])
    parser.add_argument("--readers-of", metavar="ADDRESS", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.readers_of:
        anyio.run(footprint, chosen.readers_of)
        return
    with (
        tempfile.TemporaryDirectory(dir="data" if Path("data").is_dir() else None) as directory,
        millpond(Path(directory, "broker")) as broker,
    ):
        if chosen.only in (None, "throughput"):
            throughput(broker, chosen.scale)
        if chosen.only in (None, "latency"):
            anyio.run(latency, broker.address)
        if chosen.only in (None, "footprint"):
            make_topic(broker.address, "many", MANY)
            command = [sys.executable, "-m", "bench.cluster_reader", "--readers-of", broker.address]
            subprocess.run(command, check=True)


def throughput(broker: Running, scale: float) -> None:
    print(f"{'':24}{'touched':>12}{'records':>12}{'reader':>12}   records/s")
    for size, full_count in SIZES.items():
        for partitions in PARTITIONS:
            count = int(full_count * scale)
            topic = f"of-{size}-{partitions}"
            make_topic(broker.address, topic, partitions)
            fill(broker.address, topic, partitions, size, count)
            places = [TopicPartition(topic, number) for number in range(partitions)]
            ways: list[Callable[[], float]] = [
                partial(bare, broker.address, places, count, touched),
                partial(bare, broker.address, places, count, Gathering().add),
                partial(anyio.run, by_reader, broker.address, places, count),
            ]
            best = [0.0] * len(ways)
            for _ in range(ROUNDS):
                best = [max(count / way(), so_far) for way, so_far in zip(ways, best, strict=True)]
            told = "".join(f"{rate:12,.0f}" for rate in best)
            print(
                f"{size:4} B, {partitions} partitions     {told}   {best[2] / best[1]:.0%} of them"
            )


def fill(address: str, topic: str, partitions: int, size: int, count: int) -> None:
    """Produce records that differ, in turns to each partition."""
    producer = Producer(
        {
            "bootstrap.servers": address,
            "linger.ms": 20,
            "batch.num.messages": 10_000,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    for number in range(count):
        while True:
            try:
                producer.produce(topic, b"%0*d" % (size, number), partition=number % partitions)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(60)


def touched(messages: list[Any]) -> None:
    for message in messages:
        message.key()
        message.value()
        message.timestamp()
        message.offset()


class MessageRecord(NamedTuple):
    """What a reader's records have, too."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Gathering:
    """Makes records of messages, and keeps those of the last call only."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, int], list[MessageRecord]] = {}

    def add(self, messages: list[Any]) -> None:
        records = defaultdict(list)
        for message in messages:
            records[message.topic(), message.partition()].append(
                MessageRecord(
                    message.offset(),
                    message.timestamp()[1],
                    message.key(),
                    message.value(),
                    message.headers() or (),
                )
            )
        self.records = records


def bare(
    address: str, places: list[TopicPartition], count: int, use: Callable[[list[Any]], None]
) -> float:
    """Read with a consumer and nothing else; return the seconds that it took."""
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "bench",  # it wants one; nothing is committed there
            "check.crcs": True,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    consumer.assign([ClientPartition(*place, 0) for place in places])
    messages = consumer.consume(1, 30)
    begun = time.perf_counter()
    found = len(messages)
    use(messages)
    while found < count:
        messages = consumer.consume(min(AT_ONCE, count - found), 1)
        found += len(messages)
        use(messages)
    taken_s = time.perf_counter() - begun
    consumer.close()
    gc.collect()
    return taken_s


async def by_reader(address: str, places: list[TopicPartition], count: int) -> float:
    """Read with a reader; return the seconds that it took."""
    async with ClusterLog.open(f"kafka://{address}") as log:
        reader = log.reader()
        reader.assign(dict.fromkeys(places, 0))
        found = sum(len(each.records) for each in await reader.read(bytes_max=1))
        begun = time.perf_counter()
        while found < count:
            for each in await reader.read(bytes_max=READ_BYTES):
                found += len(each.records)
        taken_s = time.perf_counter() - begun
        await reader.aclose()
    gc.collect()
    return taken_s


async def latency(address: str) -> None:
    """Append single records to a partition whose reader waits."""
    make_topic(address, "waited-for", 1)
    place = TopicPartition("waited-for", 0)
    async with ClusterLog.open(f"kafka://{address}") as log:
        reader, producer = log.reader(), await log.producer()
        reader.assign({place: 0})
        appended = received = 0.0
        taken = []

        async def receive() -> None:
            nonlocal received
            await reader.read()
            received = time.perf_counter()

        for _ in range(LATENCIES):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(receive)
                await anyio.sleep(0.005)
                begun = time.perf_counter()
                await producer.append({place: [NewRecord(None, b"x" * 100, 1_700_000_000_000)]})
                appended = time.perf_counter() - begun
            taken.append((received - begun, appended))
    for what, several in zip(("received", "acknowledged"), zip(*taken, strict=True), strict=True):
        cuts = quantiles(several, n=100)
        told = f"p50 {cuts[49] * 1000:.2f} ms, p99 {cuts[98] * 1000:.2f} ms"
        print(f"an appended record is {what} after: {told}")


async def footprint(address: str) -> None:
    """Open many readers, each of one partition, and wait until all are at their ends."""
    places = [TopicPartition("many", number) for number in range(MANY)]
    async with ClusterLog.open(f"kafka://{address}") as log:
        before = threads(), connections(), memory()
        readers = [log.reader() for _ in places]

        async def begin(number: int) -> None:
            readers[number].assign({places[number]: 0})
            await readers[number].read(wait_max_s=0.1)

        begun = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for number in range(MANY):
                tasks.start_soon(begin, number)
        begun_s = time.perf_counter() - begun
        await anyio.sleep(1)
        print(
            f"{MANY} readers: {threads() - before[0]} threads, "
            f"{connections() - before[1]} connections, "
            f"{(memory() - before[2]) / 1e6:.0f} MB, begun in {begun_s:.2f} s"
        )
        async with anyio.create_task_group() as tasks:
            for reader in readers:
                tasks.start_soon(partial(reader.read, wait_max_s=5))
            await anyio.sleep(1)
            cpu_s = time.process_time()
            await anyio.sleep(3)
            print(f"all wait: {(time.process_time() - cpu_s) / 3:.1%} of a core")
        begun = time.perf_counter()
    print(f"closed in {time.perf_counter() - begun:.2f} s")


def threads() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def connections() -> int:
    """Return how many sockets this process has open."""
    files = Path("/proc/self/fd").iterdir()
    return sum(str(each.readlink()).startswith("socket:") for each in files if each.is_symlink())


def memory() -> int:
    """Return the bytes of memory that this process has now."""
    told = Path("/proc/self/status").read_text()
    return int(told.partition("VmRSS:")[2].split()[0]) << 10


if __name__ == "__main__":
    main()
