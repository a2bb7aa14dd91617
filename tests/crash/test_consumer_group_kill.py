"""Members of a consumer group (KIP-848) come and go while the broker is killed, again and again.

librdkafka, unmodified. Nothing is left unread, and no partition is ever given to a member while another
one still has it; members that live through a kill go on where they were.
"""

import contextlib
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as Named
from confluent_kafka.admin import AdminClient, NewTopic

pytestmark = pytest.mark.long

PARTITIONS = 12
MEMBERS = 8
CHURN_S = 60
SETTLE_S = 15
SETTINGS = {
    "group.consumer.session.timeout.ms": 3000,
    "group.consumer.heartbeat.interval.ms": 200,
}


class Broker:
    """The broker as a process that comes back on the same port."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = 0
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "millpond.streams.cli", "broker", "--data", str(self.data)]
        command += ["--listen", self.address]
        for name, value in SETTINGS.items():
            command += ["--set", f"{name}={value}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert found, f"the broker does not come up: {line!r}"
        self.port = int(found[1])

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


class Ledger:
    """What members were given, gave up, and read."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.owners: dict[int, str] = {}
        self.overlaps: list[tuple[int, str, str]] = []
        self.read: dict[int, Counter[int]] = defaultdict(Counter)

    def given(self, member: str, partitions: list[Named]) -> None:
        with self.lock:
            for each in partitions:
                owner = self.owners.setdefault(each.partition, member)
                if owner != member:
                    self.overlaps.append((each.partition, owner, member))

    def given_up(self, member: str) -> None:
        with self.lock:
            self.owners = {each: owner for each, owner in self.owners.items() if owner != member}

    def gave_up(self, member: str, partitions: list[Named]) -> None:
        with self.lock:
            for each in partitions:
                if self.owners.get(each.partition) == member:
                    del self.owners[each.partition]


class Member(threading.Thread):
    """A consumer that reads and commits for a while, and leaves."""

    def __init__(self, name: str, address: str, ledger: Ledger, life_s: float) -> None:
        super().__init__(name=name)
        self.ledger = ledger
        self.end = time.monotonic() + life_s
        self.consumer = Consumer(
            {
                "bootstrap.servers": address,
                "group.id": "readers",
                "group.protocol": "consumer",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "reconnect.backoff.max.ms": 300,
                "log_level": 0,
            }
        )
        self.start()

    def run(self) -> None:
        self.consumer.subscribe(
            ["orders"],
            on_assign=lambda _, partitions: self.ledger.given(self.name, partitions),
            on_revoke=lambda _, partitions: self.ledger.gave_up(self.name, partitions),
            on_lost=lambda _, partitions: self.ledger.gave_up(self.name, partitions),
        )
        while time.monotonic() < self.end:
            messages = self.consumer.consume(100, 0.1)
            for message in messages:
                partition, offset = message.partition(), message.offset()
                if message.error() is None and partition is not None and offset is not None:
                    self.ledger.read[partition][offset] += 1
            if messages:
                self.commit()
        self.consumer.close()
        self.ledger.given_up(self.name)

    def commit(self) -> None:
        # If the epoch has changed meanwhile, or the broker is away, it will be read again.
        with contextlib.suppress(KafkaException):
            self.consumer.commit(asynchronous=False)


class Writer(threading.Thread):
    """Writes to all partitions until told to stop; knows how far each of them goes."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.stopped = threading.Event()
        self.ends: Counter[int] = Counter()
        self.producer = Producer(
            {"bootstrap.servers": address, "enable.idempotence": True, "log_level": 0}
        )
        self.start()

    def run(self) -> None:
        number = 0
        while not self.stopped.is_set():
            self.producer.produce(
                "orders", b"%d" % number, partition=number % PARTITIONS, on_delivery=self.written
            )
            number += 1
            self.producer.poll(0.002)
        assert self.producer.flush(60) == 0

    def written(self, error: KafkaError | None, message: Message) -> None:
        partition, offset = message.partition(), message.offset()
        assert error is None
        assert partition is not None
        assert offset is not None
        self.ends[partition] = max(self.ends[partition], offset + 1)


def test_everything_is_read_and_nothing_has_two_owners(tmp_path: Path) -> None:
    chance = random.Random(848)
    broker, ledger = Broker(tmp_path), Ledger()
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic("orders", PARTITIONS, 1)])["orders"].result(30)
    writer = Writer(broker.address)
    members: list[Member] = []
    born = kills = 0
    end, next_kill = time.monotonic() + CHURN_S, time.monotonic() + 6
    while time.monotonic() < end:
        members = [member for member in members if member.is_alive()]
        if len(members) < MEMBERS:
            born += 1
            life_s = chance.uniform(1, 12)
            members.append(Member(f"member-{born}", broker.address, ledger, life_s))
        if time.monotonic() > next_kill:
            kills += 1
            broker.kill()
            time.sleep(chance.uniform(0, 0.5))
            broker.start()
            next_kill = time.monotonic() + chance.uniform(4, 10)
        time.sleep(chance.uniform(0.1, 0.6))
    writer.stopped.set()
    writer.join()
    members += [Member(f"last-{number}", broker.address, ledger, SETTLE_S) for number in range(3)]
    for member in members:
        member.join()
    broker.kill()
    unread = {
        partition: [offset for offset in range(end) if not ledger.read[partition][offset]]
        for partition, end in writer.ends.items()
    }
    print(f"{born} members, {kills} kills, {sum(writer.ends.values())} records")
    assert not any(unread.values())
    assert not ledger.overlaps
    assert kills >= 3
