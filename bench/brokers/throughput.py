"""How much goes through: produced and consumed by clients that batch, and one record to a request.

librdkafka is driven by `kcat` (Debian package), which reads lines from a file and throws away what it
consumes, so it is the library in C and nothing else; the Java client by Kafka's own performance tools.
"""

import re
import subprocess
import time
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 4


def make_topic(address: str, name: str, partitions: int = PARTITIONS) -> None:
    """Create a topic and wait until it is there."""
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(30)


def kcat_produce(address: str, topic: str, lines: Path, *properties: str) -> float:
    """Produce a file, a record a line, acks=all; return the seconds until all is acknowledged."""
    settings = ("acks=all", "queue.buffering.max.messages=1000000", *properties)
    return _timed(["kcat", "-P", "-b", address, "-t", topic, "-l", str(lines), *_options(settings)])


def kcat_consume(address: str, topic: str, count: int) -> float:
    """Consume a topic from its beginning; return the seconds until `count` records are there."""
    settings = ("fetch.message.max.bytes=1048576", "queued.max.messages.kbytes=262144")
    command = ["kcat", "-C", "-b", address, "-t", topic, "-o", "beginning", "-q", "-c", str(count)]
    return _timed([*command, *_options(settings)])


def java_produce(jars: Path, address: str, topic: str, count: int, size: int) -> float:
    """Let Kafka's ProducerPerformance produce; return records per second, as it reckons."""
    told = _java(
        jars,
        "org.apache.kafka.tools.ProducerPerformance",
        *("--topic", topic, "--num-records", str(count), "--record-size", str(size)),
        *("--throughput", "-1", "--producer-props", f"bootstrap.servers={address}", "acks=all"),
    )
    return float(re.findall(r"([\d.,]+) records/sec", told)[-1].replace(",", "."))


def java_consume(jars: Path, address: str, topic: str, count: int) -> float:
    """Let Kafka's ConsumerPerformance consume; return records per second of its fetching."""
    told = _java(
        jars,
        "org.apache.kafka.tools.ConsumerPerformance",
        *("--topic", topic, "--messages", str(count), "--bootstrap-server", address),
        *("--timeout", "60000"),
    )
    return float(told.strip().splitlines()[-1].split(",")[-1])


def write_lines(path: Path, count: int, size: int) -> None:
    """Write lines of `size` bytes, each different."""
    with path.open("w") as out:
        out.writelines(f"{number:0{size}}\n" for number in range(count))


def _timed(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return time.perf_counter() - begun


def _options(properties: tuple[str, ...]) -> list[str]:
    return [part for each in properties for part in ("-X", each)]


def _java(jars: Path, tool: str, *arguments: str) -> str:
    command = ["java", "-Xmx512m", "-cp", f"{jars}/*", tool, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.stdout.decode()
