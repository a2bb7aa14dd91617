"""The flights pipeline says what plain code says, too, when worker processes share it out on a broker.

All that comes in is put into the topics by the log's own interface, without an app; what goes out is read from
topics and changelogs. Some of it is there when the workers start, the rest comes while they work.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from millpond.examples.flights import source
from millpond.examples.flights.database import Database
from millpond.examples.flights.pipeline import COMPACTED, GRACE, WORST_MINUTES, Pipeline
from millpond.log.cluster.cluster_log import ClusterLog
from millpond.log.interface import Log
from millpond.log.model import NewRecord, TopicPartition, TopicSpec
from millpond.streams.topic import Topic
from millpond.tests.clients import brokers, java_runtime
from millpond.tests.clients.brokers import Broker
from millpond.tests.scenario.flights_app import DATABASE, PARTITIONS, make
from millpond.tests.scenario.flights_outputs import Written, assert_exactly, read_changelogs
from millpond.tests.twins import flights as twin
from millpond.tests.twins.workers import Workers

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore")]

TARGET = "millpond.tests.scenario.flights_app:app"
REFUSED_MINUTES = 600
PATIENCE_S = 120
LOOK_S = 0.5
KEEP = {"retention.ms": "-1"}

StartBroker = Callable[[Path], AbstractContextManager[Broker]]


async def test_three_workers_say_what_plain_code_says(tmp_path: Path) -> None:
    await say_what_plain_code_says(brokers.millpond, tmp_path, workers=3, partitions=3, rows=3000)


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 3, 8])
async def test_any_number_of_workers_on_our_broker(workers: int, tmp_path: Path) -> None:
    await say_what_plain_code_says(
        brokers.millpond, tmp_path, workers=workers, partitions=8, rows=12_000
    )


@pytest.mark.clients
@java_runtime.needs_jars()
@pytest.mark.parametrize("workers", [1, 3, 8])
async def test_any_number_of_workers_on_apache_kafka(workers: int, tmp_path: Path) -> None:
    kafka = partial(brokers.apache_kafka, jars=java_runtime.JARS)
    await say_what_plain_code_says(kafka, tmp_path, workers=workers, partitions=8, rows=12_000)


async def say_what_plain_code_says(
    start_broker: StartBroker, directory: Path, *, workers: int, partitions: int, rows: int
) -> None:
    pipeline = make(partitions, directory)
    expected = expected_of(rows, partitions)
    flights = [
        (flight.origin, flight, int(flight.at.timestamp() * 1000))
        for flight in source.flights(rows)
    ]
    names = [f"worker-{number}" for number in range(workers)]
    environment = {PARTITIONS: str(partitions), DATABASE: str(directory)}
    with start_broker(directory / "broker") as broker:
        async with ClusterLog.open(f"kafka://{broker.address}") as log:
            await make_topics(log, pipeline, partitions)
            await fill_lookups(log, pipeline, partitions)
            make_database(pipeline)
            await send(log, pipeline.flights, flights[: rows // 2], partitions)
            with Workers(
                TARGET, broker.address, directory / "workers", environment=environment
            ) as processes:
                processes.start(*names)
                await send(log, pipeline.flights, flights[rows // 2 :], partitions)
                await until_all_is_written(log, pipeline, processes, expected)
                await anyio.to_thread.run_sync(lambda: processes.stop(*names))
            assert_exactly(await read_changelogs(log, pipeline), expected)


def expected_of(rows: int, partitions: int) -> twin.Expected:
    return twin.work_out(
        twin.read_flights(rows),
        partitions=partitions,
        grace_ms=GRACE // timedelta(milliseconds=1),
        worst_minutes=WORST_MINUTES,
        refused_minutes=REFUSED_MINUTES,
    )


async def make_topics(log: Log, pipeline: Pipeline, partitions: int) -> None:
    specs = [TopicSpec(name, partitions, config=COMPACTED) for name in ("carriers", "planes")]
    specs += [
        TopicSpec(name, partitions, config=KEEP)
        for name in ("flights", "flights-late", "airport-hours", "enriched", "worst", "worst.dlq")
    ]
    await log.create_topics(specs)


def make_database(pipeline: Pipeline) -> None:
    """Make the database's table, so that it can be read before a worker has written to it."""
    with Database(pipeline.database):
        pass


async def fill_lookups(log: Log, pipeline: Pipeline, partitions: int) -> None:
    """Fill what flights are looked up in: before anybody looks."""
    now_ms = int(time.time() * 1000)
    for topic, entries in (
        (pipeline.carriers, source.carriers()),
        (pipeline.planes, source.planes()),
    ):
        await send(log, topic, [(key, value, now_ms) for key, value in entries], partitions)


async def send(
    log: Log, topic: Topic[str, Any], records: Iterable[tuple[str, Any, int]], partitions: int
) -> None:
    """Append records, each to the partition to which a Java client would send it."""
    producer = await log.producer()
    by_partition: dict[TopicPartition, list[NewRecord]] = {}
    for key, value, timestamp in records:
        partition = TopicPartition(topic.name, twin.java_partition(key, partitions))
        encoded = topic.value_codec.encode(value)
        by_partition.setdefault(partition, []).append(NewRecord(key.encode(), encoded, timestamp))
    await producer.append(by_partition)


async def until_all_is_written(
    log: Log, pipeline: Pipeline, workers: Workers, expected: twin.Expected
) -> None:
    """Wait until there is as much as there must be in the end: of what is wrong, there is as much, too."""
    in_the_end = sizes_expected(expected)
    reached: list[int] = []
    with anyio.move_on_after(PATIENCE_S):
        while reached != in_the_end:
            await anyio.sleep(LOOK_S)
            workers.check()
            if (await log.describe_topics()).keys() >= {"flights-carrier-totals-changelog"}:
                reached = sizes_written(await read_changelogs(log, pipeline))
    assert reached == in_the_end


def sizes_written(written: Written) -> list[int]:
    return [
        sum(map(len, written.late)),
        len(written.closed),
        sum(sum(counts[:2]) for counts in written.still_open.values()),
        sum(sum(counts[:2]) for counts in written.totals.values()),
        len(written.enriched),
        len(written.stored),
        len(written.refused),
    ]


def sizes_expected(expected: twin.Expected) -> list[int]:
    return [
        sum(map(len, expected.late)),
        len(expected.closed),
        sum(sum(counts[:2]) for counts in expected.still_open.values()),
        sum(sum(counts[:2]) for counts in expected.totals.values()),
        len(expected.enriched),
        len(expected.stored),
        len(expected.refused),
    ]
