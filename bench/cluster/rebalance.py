"""`python -m bench.cluster.rebalance`: what tasks do when a worker comes, goes in order, or is killed.

    python -m bench.cluster.rebalance --partitions 200 --megabytes 1000 --broker kafka

Workers share an app with much state, each on a directory of its own. For each way to come or go: how long did
tasks pause that did not move, and how long does it take until those that moved run again? Once cold, where
state comes from the changelogs, and once with a standby. Writes `bench/rebalance.json`.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from millpond.tests.twins.workers import Workers
from rich.console import Console
from rich.table import Table

from .__main__ import BROKERS, ROOT
from .beats import QUIET, Heart, Listener, Rebalance, rebalance_of
from .data import make_topic
from .stateful_app import BEATS, EVENTS, SETTINGS, TASKS_GROUP

TARGET: Final = "millpond.bench.cluster.stateful_app:app"
VALUE_BYTES: Final = 1000
BEAT_S: Final = 0.5
USUAL_S: Final = 5.0
LOOK_S: Final = 0.2
PATIENCE_S: Final = 600
QUIET_S: Final = 5.0
TITLES: Final = ("", "moved", "gap of others", "(before)", "all run", "pause", "longest")


@dataclass(frozen=True, slots=True)
class Scale:
    """How much there is to share, among how many."""

    partitions: int = 200
    megabytes: int = 200
    workers: int = 2
    standby_replicas: int = 0
    session_timeout_ms: int = 10_000


def rebalances(address: str, scale: Scale, directory: Path) -> Iterator[tuple[str, Rebalance]]:
    """Let a worker come, go in order, come back, and be killed; yield what tasks did each time.

    Raises:
        AssertionError: a task does not run again; a worker ended by itself.
    """
    make_topic(address, EVENTS, scale.partitions)
    make_topic(address, BEATS, scale.partitions)
    settings = {
        "standby_replicas": scale.standby_replicas,
        "session_timeout_ms": scale.session_timeout_ms,
    }
    environment = {SETTINGS: json.dumps(settings)}
    progress = Progress(address, scale.partitions)
    with Workers(TARGET, address, directory, environment=environment) as workers:
        workers.start(*(f"worker-{number}" for number in range(scale.workers)))
        fill(address, scale)
        progress.until(lambda done, end: done >= end, workers)
        listener = Listener(address, scale.partitions)
        try:
            with Heart(address, scale.partitions, BEAT_S).beating():
                for what, act in (
                    ("a worker comes", lambda: workers.start("another")),
                    ("one stops in order", lambda: workers.stop("worker-0")),
                    ("it comes back", lambda: workers.start("worker-0")),
                    ("one is killed", lambda: workers.kill("another")),
                ):
                    yield what, watch(listener, workers, act, scale)
        finally:
            listener.close()
            progress.close()
        workers.stop(*workers.running)


def watch(listener: Listener, workers: Workers, act: Callable[[], None], scale: Scale) -> Rebalance:
    """Let something happen, and wait until all tasks run evenly shared among those that are there."""
    listener.beats.clear()
    until_steady(listener, workers, scale, time.time())
    listener.beats.clear()
    listener.listen(USUAL_S)
    happened_at = time.time()
    act()
    until_steady(listener, workers, scale, happened_at)
    return rebalance_of(listener.beats, happened_at)


def until_steady(listener: Listener, workers: Workers, scale: Scale, since: float) -> None:
    """Wait until each worker has its share and nothing has moved for a while."""
    deadline = time.monotonic() + PATIENCE_S
    steady_since = time.monotonic()
    owners: dict[int, int] = {}
    while True:
        listener.listen(LOOK_S)
        workers.check()
        now = {
            partition: beats[-1].process
            for partition, beats in listener.beats.items()
            if beats[-1].at > since
        }
        if now != owners:
            steady_since, owners = time.monotonic(), now
        alive = [worker.process.pid for worker in workers.running.values()]
        shares = {pid: list(owners.values()).count(pid) for pid in alive}
        is_even = max(shares.values()) - min(shares.values()) <= 1
        is_whole = sum(shares.values()) == scale.partitions
        if is_whole and is_even and time.monotonic() - steady_since > QUIET_S:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"after {PATIENCE_S} s tasks run like this: {shares}")


def fill(address: str, scale: Scale) -> None:
    """Send what becomes state, evenly over the partitions."""
    producer = Producer(
        {
            "bootstrap.servers": address,
            "linger.ms": 20,
            "queue.buffering.max.kbytes": 65_536,
            **QUIET,
        }
    )
    chance = os.urandom(VALUE_BYTES)  # incompressible
    for number in range(scale.megabytes * 1_000_000 // VALUE_BYTES):
        start = number % VALUE_BYTES
        value = chance[start:] + chance[:start]
        while True:
            try:
                key = f"key-{number:09}".encode()
                producer.produce(EVENTS, value, key, number % scale.partitions)
                break
            except BufferError:
                producer.poll(0.05)
    assert producer.flush(PATIENCE_S) == 0


class Progress:
    """How far the app has come with its input."""

    def __init__(self, address: str, partitions: int) -> None:
        self._consumer = Consumer({"bootstrap.servers": address, "group.id": TASKS_GROUP, **QUIET})
        self._partitions = [TopicPartition(EVENTS, number) for number in range(partitions)]

    def until(self, reached: Callable[[int, int], bool], workers: Workers) -> None:
        """Wait until what is committed has reached something."""
        deadline = time.monotonic() + PATIENCE_S
        end = sum(
            self._consumer.get_watermark_offsets(each, timeout=30)[1] for each in self._partitions
        )
        while not reached(done := self._committed(), end):
            workers.check()
            if time.monotonic() > deadline:
                raise AssertionError(f"after {PATIENCE_S} s {done} of {end} events are done")
            time.sleep(LOOK_S)

    def _committed(self) -> int:
        try:
            committed = self._consumer.committed(self._partitions, timeout=10)
        except KafkaException:
            return 0
        return sum(max(each.offset, 0) for each in committed)

    def close(self) -> None:
        self._consumer.close()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster.rebalance", description=__doc__)
    parser.add_argument("--broker", action="append", choices=list(BROKERS))
    parser.add_argument("--partitions", type=int, default=200)
    parser.add_argument("--megabytes", type=int, default=200, help="of state, in all")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--standby-replicas", type=int, action="append", choices=[0, 1])
    parser.add_argument("--directory", default=None, help="on the disk to be measured")
    parser.add_argument("--output", default=str(ROOT / "bench" / "rebalance.json"))
    chosen = parser.parse_args(arguments)
    console = Console()
    figures = []
    for name in chosen.broker or ["millpond"]:
        table = Table(title=f"{chosen.partitions} tasks, {chosen.megabytes} MB of state, on {name}")
        for title in TITLES:
            table.add_column(title, justify="right" if table.columns else "left")
        for standby_replicas in chosen.standby_replicas or [0, 1]:
            scale = Scale(chosen.partitions, chosen.megabytes, chosen.workers, standby_replicas)
            kind = "standby" if standby_replicas else "cold"
            with (
                tempfile.TemporaryDirectory(dir=chosen.directory) as directory,
                BROKERS[name](Path(directory, "broker")) as broker,
            ):
                for what, found in rebalances(broker.address, scale, Path(directory, "workers")):
                    console.print(f"{kind}, {what}: {found}", highlight=False, soft_wrap=True)
                    figures.append({"broker": name, "kind": kind, "what": what, **rounded(found)})
                    table.add_row(f"{kind}: {what}", *cells_of(found))
        console.print(table)
    told = {"megabytes": chosen.megabytes, "workers": chosen.workers, "rebalances": figures}
    Path(chosen.output).write_text(json.dumps(told, indent=2) + "\n")


def rounded(found: Rebalance) -> dict[str, float]:
    return {name: round(value, 3) for name, value in asdict(found).items()}


def cells_of(found: Rebalance) -> list[str]:
    return [
        str(found.moved),
        f"{found.longest_gap_s:.2f} s",
        f"{found.usual_gap_s:.2f} s",
        f"{found.last_s:.2f} s",
        f"{found.pause_s:.2f} s",
        f"{found.longest_pause_s:.2f} s",
    ]


if __name__ == "__main__":
    main()
