"""What is measured of starting: a small worker until its first event, and a restore of much state.

`start` runs `millpond worker` in a process of its own, on a log that holds records, with a table to
open; the time is from before the process exists to inside the agent, holding its first event.
`restore` is the time that an app with 8 partitions and 4 tables takes to be ready after its stores were
deleted: all of it comes back from the changelogs.
"""

import json
import os
import shutil
import sys
import time

import anyio
import millpond as mp
from millpond.log.embedded import EmbeddedLog
from millpond.log.model import NewRecord, TopicPartition, TopicSpec

from .measure import Measured, Meter, Work

PARTITIONS = 8
TABLES = 4
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
"""Without this, bytecode is cached by the second start, as it is in what pip has installed."""

PINGS = TopicPartition("pings", 0)


class Entry(mp.Record):
    """What the restored tables hold."""

    number: int
    name: str
    amount: float


async def fill_pings(work: Work) -> None:
    async with EmbeddedLog.open(work.directory / "log") as log:
        await log.create_topics([TopicSpec(PINGS.topic, 1)])
        producer = await log.producer()
        now = time.time_ns() // 1_000_000
        pings = [NewRecord(None, b"ping", now) for _ in range(work.count)]
        await producer.append({PINGS: pings})


async def start(work: Work) -> Measured:
    directory = work.directory / f"start-{work.number}"
    shutil.copytree(work.directory / "log", directory / "log")
    report_path = directory / "report.json"
    begun = time.monotonic()
    done = await anyio.run_process(
        [sys.executable, "-m", "millpond.streams.cli", "worker", f"{__package__}.tiny:app"],
        env={
            **{name: value for name, value in os.environ.items() if name != NO_BYTECODE},
            "BENCH_DIRECTORY": str(directory),
            "BENCH_REPORT": str(report_path),
            "BENCH_BEGUN": str(begun),
        },
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the worker ended with {done.returncode}: {done.stderr.decode()}")
    report = json.loads(report_path.read_text())
    stamps = report["stamps"]
    parts = {
        "interpreter, command line": stamps["importing"] - stamps["begun"],
        "import millpond, declare": stamps["imported"] - stamps["importing"],
        "open log and store": stamps["ready"] - stamps["imported"],
        "first event": stamps["first"] - stamps["ready"],
    }
    return Measured(
        1, stamps["first"] - stamps["begun"], report["cpu_s"], report["peak"], parts=parts
    )


def restoring_app(work: Work) -> mp.App:
    """Every event writes one entry into each of four tables."""
    app = mp.App("restoring", data=work.directory, settings=mp.Settings(partitions=PARTITIONS))
    entries = app.topic("entries", key=str, value=Entry)
    first, second, third, fourth = (
        app.Table(f"table-{number}", key=str, value=Entry) for number in range(TABLES)
    )

    @app.agent(entries)
    async def spread(stream: mp.Stream[Entry]) -> None:
        async for entry in stream:
            first[entry.name] = entry
            second[entry.name] = entry
            third[entry.name] = entry
            fourth[entry.name] = entry

    return app


async def fill_tables(work: Work) -> None:
    """Run the app until its changelogs hold `count` records."""
    app = restoring_app(work)
    async with app.run() as engine:
        entries = next(topic for topic in engine.topology.topics if topic.name == "entries")
        for number in range(work.count // TABLES):
            name = f"entry-{number:08}"
            await entries.send(key=name, value=Entry(number, name, number / 4))
        await engine.settle()


async def restore(work: Work) -> Measured:
    shutil.rmtree(work.directory / "state")
    app = restoring_app(work)
    meter = Meter().start()
    async with app.run() as engine:
        measured = meter.stop(work.count)
        restored = sum(runner.stores.to_restore for runner in engine.runners)
        assert restored >= work.count // TABLES * TABLES, restored
    return measured
