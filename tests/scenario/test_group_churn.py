"""A hundred consumers in twenty groups over two hundred partitions, coming and going for two minutes.

Ten processes have ten consumers each, of different groups; each consumer leaves after some seconds and
is followed by another, and now and then a process is killed. What they were told stands in their
journals. In the end each group must have read everything, no owner may have skipped or repeated
anything, no partition may have had two owners at a time, and the broker must not have grown.
"""

import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore")]

GROUPS = [f"group-{number}" for number in range(20)]
PARTITIONS = 200
WORKERS = 10
CHURN_S = 120
WARM_UP_S = 40
SETTLE_S = 60
RECORDS_PER_S = 20
GROWTH_MB_MAX = 25
REBALANCES_MIN = 200


def test_everything_is_read_in_order_by_one_owner_at_a_time(tmp_path: Path) -> None:
    with a_broker(tmp_path) as (process, bootstrap):
        admin = AdminClient({"bootstrap.servers": bootstrap})
        admin.create_topics([NewTopic("churn", PARTITIONS, 1)])["churn"].result(30)
        world = Churn(bootstrap, tmp_path)
        try:
            before_mb = world.run(WARM_UP_S, process.pid)
            after_mb = world.run(CHURN_S - WARM_UP_S, process.pid)
            ends = world.settle()
        finally:
            world.stop()
        stories = [Story(events) for events in world.journals().values()]
    by_group = defaultdict(list)
    for story in stories:
        by_group[story.group].append(story)
    assert sorted(by_group) == sorted(GROUPS)
    rebalances = sum(len(story.tenures) for story in stories)
    print(
        f"\n{len(stories)} consumers, {rebalances} assignments of partitions, "
        f"{sum(ends.values())} records, {before_mb:.0f} MB, then {after_mb:.0f} MB"
    )
    assert rebalances >= REBALANCES_MIN
    for group in by_group.values():
        check_group(group, ends)
    assert after_mb - before_mb < GROWTH_MB_MAX


# -- what must hold --------------------------------------------------------------------------------


@dataclass
class Tenure:
    """The time during which one consumer owned one partition, and what it read."""

    partition: int
    begin: float
    end: float = float("inf")
    offsets: list[int] = field(default_factory=list)


class Story:
    """What happened to one consumer."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.group = events[0]["group"]
        self.tenures: list[Tenure] = []
        owned: dict[int, Tenure] = {}
        for event in events:
            match event["what"]:
                case "assigned":
                    for partition in event["partitions"]:
                        owned[partition] = Tenure(partition, event["at"])
                        self.tenures.append(owned[partition])
                case "revoked" | "lost":
                    for partition in event["partitions"]:
                        owned.pop(partition).end = event["at"]
                case "read":
                    assert event["partition"] in owned, "read what it does not own"
                    owned[event["partition"]].offsets.append(event["offset"])
        for tenure in owned.values():  # it left, or was killed
            tenure.end = events[-1]["at"]


def check_group(stories: list[Story], ends: dict[int, int]) -> None:
    """Hold what the consumers of one group have seen against what must be."""
    by_partition: dict[int, list[Tenure]] = defaultdict(list)
    for story in stories:
        for tenure in story.tenures:
            by_partition[tenure.partition].append(tenure)
    for partition in range(PARTITIONS):
        tenures = sorted(by_partition[partition], key=lambda each: each.begin)
        upto = 0
        for before, tenure in zip([None, *tenures], tenures, strict=False):
            assert before is None or before.end <= tenure.begin, "two owners at a time"
            offsets = tenure.offsets
            if offsets:
                assert offsets == list(range(offsets[0], offsets[0] + len(offsets)))
                assert offsets[0] <= upto, "an owner has skipped what nobody had read"
                upto = max(upto, offsets[-1] + 1)
        assert upto == ends[partition], "in the end all is read"


# -- the world -------------------------------------------------------------------------------------


class Churn:
    """The processes with consumers, and somebody who writes."""

    def __init__(self, bootstrap: str, directory: Path) -> None:
        self._bootstrap = bootstrap
        self._directory = directory
        self._chance = random.Random(7)
        self._ends: dict[int, int] = dict.fromkeys(range(PARTITIONS), 0)
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50})
        self._generation = 0
        self._workers = [self._start(number) for number in range(WORKERS)]

    def run(self, seconds: float, pid: int) -> float:
        """Let it go on, killing a process every quarter of a minute; return the broker's megabytes."""
        until = time.monotonic() + seconds
        kill_at = time.monotonic() + 15
        while time.monotonic() < until:
            for _ in range(RECORDS_PER_S):
                partition = self._chance.randrange(PARTITIONS)
                self._producer.produce("churn", b"something", partition=partition)
                self._ends[partition] += 1
            self._producer.poll(0)
            time.sleep(1)
            if time.monotonic() >= kill_at:
                kill_at += 15
                number = self._chance.randrange(WORKERS)
                self._kill(number)
                self._workers[number] = self._start(number)
        return resident_mb(pid)

    def settle(self) -> dict[int, int]:
        """Let nobody come or go any more until all is read; return how much that is."""
        assert self._producer.flush(30) == 0
        for path in self._directory.glob("worker-*.journal"):
            Path(f"{path}.settle").touch()
        until = time.monotonic() + SETTLE_S
        while time.monotonic() < until and not self._all_read():
            time.sleep(2)
        return self._ends

    def _all_read(self) -> bool:
        read: dict[tuple[str, int], int] = defaultdict(int)
        for events in self.journals().values():
            for event in events:
                if event["what"] == "read":
                    place = (event["group"], event["partition"])
                    read[place] = max(read[place], event["offset"] + 1)
        return all(read[group, each] == end for group in GROUPS for each, end in self._ends.items())

    def journals(self) -> dict[str, list[dict[str, Any]]]:
        """Return what happened, by consumer."""
        found = defaultdict(list)
        for path in self._directory.glob("worker-*.journal"):
            for line in path.read_text().splitlines():
                if line.endswith("}"):  # else it was being written
                    event = json.loads(line)
                    found[event["consumer"]].append(event)
        return found

    def stop(self) -> None:
        for number in range(WORKERS):
            self._kill(number)

    def _start(self, number: int) -> "subprocess.Popen[bytes]":
        self._generation += 1
        groups = [GROUPS[(number + 2 * index) % len(GROUPS)] for index in range(10)]
        journal = self._directory / f"worker-{number}-{self._generation}.journal"
        seed = f"{number}-{self._generation}"
        module = "millpond.tests.scenario.group_churn_worker"
        command = [sys.executable, "-m", module, self._bootstrap, seed, str(journal), *groups]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def _kill(self, number: int) -> None:
        self._workers[number].kill()
        self._workers[number].wait()


@contextmanager
def a_broker(directory: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    command = [sys.executable, "-m", "millpond.streams.cli", "broker", "--listen", "127.0.0.1:0"]
    command += ["--data", str(directory / "data")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        told = process.stdout.readline()
        yield process, told.split("ready: ")[1].split(",")[0]
    finally:
        process.terminate()
        assert process.wait(30) == 0


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024
