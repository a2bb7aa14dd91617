"""`python -m bench.brokers`: Millpond and Apache Kafka under the same clients, in one run.

Each broker is started, measured and stopped in turn; neither is pinned, the clients run beside it on
the same machine. Apache Kafka is left out when its jars are not there (`make client-packages` brings them, with
Java and Maven). Writes `bench/brokers.json`.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from . import throughput
from .subjects import Running, Subject, apache_kafka, millpond

ROOT = Path(__file__).parents[2]
JARS = ROOT / ".cache" / "clients" / "jars"
IDLE_S = 3.0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.brokers", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the amount of data")
    parser.add_argument("--seconds", type=float, default=10, help="of each latency measurement")
    parser.add_argument("--only", metavar="BROKER", help="millpond, or one of Kafka's names")
    parser.add_argument("--jars", type=Path, default=JARS, help="where Apache Kafka's are")
    parser.add_argument("--directory", default="data/bench-brokers", help="on the disk to measure")
    parser.add_argument("--output", default=str(ROOT / "bench" / "brokers.json"))
    chosen = parser.parse_args(arguments)
    directory = Path(chosen.directory).absolute()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    console = Console()
    results: dict[str, dict[str, float]] = {}
    try:
        for subject in subjects(chosen.only, chosen.jars):
            results[subject.name] = {}
            with subject.start(directory / "broker") as broker:
                for what, value in figures(broker, chosen, directory):
                    console.print(f"{subject.name}: {what} {value:,.2f}", highlight=False)
                    results[subject.name][what] = round(value, 4)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    console.print(table_of(results))
    Path(chosen.output).write_text(json.dumps(results, indent=2) + "\n")


def subjects(only: str | None, jars: Path) -> list[Subject]:
    """Return the brokers that can be measured here."""
    known = [Subject("millpond", millpond)]
    if jars.is_dir() and shutil.which("java"):
        known += [
            Subject("kafka", partial(apache_kafka, jars=jars, flush=False)),
            Subject("kafka flush.messages=1", partial(apache_kafka, jars=jars, flush=True)),
        ]
    return [subject for subject in known if only in (None, subject.name)]


def figures(
    broker: Running, chosen: argparse.Namespace, directory: Path
) -> Iterator[tuple[str, float]]:
    """Measure everything, one figure after the other."""
    yield "start s", broker.start_s
    time.sleep(IDLE_S)
    yield "idle MB", broker.memory()[0] / 1e6
    for rate, linger_ms in ((1_000, 0), (10_000, 1)):
        topic = f"latency-{rate}"
        throughput.make_topic(broker.address, topic, 1)
        told = _latency(broker.address, topic, rate, linger_ms, chosen.seconds)
        yield f"p50 ms at {rate}/s, linger {linger_ms} ms", told["p50"]
        yield f"p99 ms at {rate}/s, linger {linger_ms} ms", told["p99"]
    for size, full_count in ((100, 3_000_000), (1000, 500_000)):
        count = int(full_count * chosen.scale)
        yield from _by_librdkafka(broker, directory, size, count)
        if chosen.jars.is_dir():
            yield from _by_java(broker, chosen.jars, size, count)
    yield from _requests(broker, directory, int(200_000 * chosen.scale))
    yield "peak MB", broker.memory()[1] / 1e6


def _latency(
    address: str, topic: str, rate: int, linger_ms: int, seconds: float
) -> dict[str, float]:
    command = [sys.executable, "-m", f"{__package__}.latency", address, topic]
    done = subprocess.check_output([*command, str(rate), str(linger_ms), str(seconds)], text=True)
    told: dict[str, float] = json.loads(done)
    return told


def _by_librdkafka(
    broker: Running, directory: Path, size: int, count: int
) -> Iterator[tuple[str, float]]:
    lines = directory / f"lines-{size}"
    throughput.write_lines(lines, count, size)
    topic = f"kcat-{size}"
    throughput.make_topic(broker.address, topic)
    cpu_s = broker.cpu_s()
    produced_s = throughput.kcat_produce(
        broker.address, topic, lines, "linger.ms=20", "batch.num.messages=10000"
    )
    yield from _rates(f"librdkafka produce {size} B", size, count, produced_s)
    produced_cpu_s = broker.cpu_s() - cpu_s
    yield f"librdkafka produce {size} B, broker CPU s per GB", produced_cpu_s / count / size * 1e9
    cpu_s = broker.cpu_s()
    consumed_s = throughput.kcat_consume(broker.address, topic, count)
    yield from _rates(f"librdkafka consume {size} B", size, count, consumed_s)
    consumed_cpu_s = broker.cpu_s() - cpu_s
    yield f"librdkafka consume {size} B, broker CPU s per GB", consumed_cpu_s / count / size * 1e9
    lines.unlink()


def _by_java(broker: Running, jars: Path, size: int, count: int) -> Iterator[tuple[str, float]]:
    topic = f"java-{size}"
    throughput.make_topic(broker.address, topic)
    rate = throughput.java_produce(jars, broker.address, topic, count, size)
    yield from _rates(f"Java produce {size} B", size, count, count / rate)
    rate = throughput.java_consume(jars, broker.address, topic, count)
    yield from _rates(f"Java consume {size} B", size, count, count / rate)


def _rates(what: str, size: int, count: int, taken_s: float) -> Iterator[tuple[str, float]]:
    yield f"{what}, records/s", count / taken_s
    yield f"{what}, MB/s", count * size / taken_s / 1e6


def _requests(broker: Running, directory: Path, count: int) -> Iterator[tuple[str, float]]:
    lines = directory / "lines-requests"
    throughput.write_lines(lines, count, 1000)
    throughput.make_topic(broker.address, "requests")
    taken_s = throughput.kcat_produce(
        broker.address, "requests", lines, "linger.ms=0", "batch.num.messages=1"
    )
    yield "requests of one 1 kB record, /s", count / taken_s


def table_of(results: dict[str, dict[str, float]]) -> Table:
    """Put the brokers side by side."""
    table = Table("measured", title="Clients and broker on one machine; acks=all")
    for name in results:
        table.add_column(name, justify="right")
    for what in next(iter(results.values()), {}):
        table.add_row(what, *(f"{values.get(what, 0):,.2f}" for values in results.values()))
    return table


if __name__ == "__main__":
    main()
