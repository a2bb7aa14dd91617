"""`millpond broker` is killed with SIGKILL, at random, again and again, under clients of two families.

What was acknowledged is there once, in order, at the offset that was acknowledged. Transactions happened
everywhere or nowhere, none that was aborted is ever seen by read_committed, a group goes on where it
committed, and what is read and written in one transaction is copied exactly once.
"""

import logging
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from tests.crash.broker_clients import (
    PARTITIONS,
    PATIENCE_S,
    AiokafkaIdempotent,
    Idempotent,
    Reader,
    quiet,
)
from tests.crash.transactional_clients import (
    AiokafkaTransactional,
    Attempt,
    Copier,
    Transactional,
)

SETTINGS = {
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 500,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 500,
}

History = dict[tuple[int, int], bytes]


class Broker:
    """The broker as a process that comes back on the same port."""

    def __init__(self, data: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.data = data
        self.start()

    def start(self) -> None:
        """Start it, and wait until it accepts."""
        command = [sys.executable, "-m", "millpond.streams.cli", "broker", "--data", str(self.data)]
        command += ["--listen", self.address]
        for name, value in SETTINGS.items():
            command += ["--set", f"{name}={value}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if b"is ready" not in line:
            _out, errors = self.process.communicate(timeout=PATIENCE_S)
            raise AssertionError(f"the broker does not come back: {line!r}\n{errors.decode()}")

    def kill(self) -> None:
        """End it where it stands."""
        self._stop(signal.SIGKILL)

    def stop(self) -> None:
        """End it in peace."""
        self._stop(signal.SIGTERM)

    def _stop(self, how: signal.Signals) -> None:
        assert self.process.poll() is None, "the broker has stopped by itself"
        self.process.send_signal(how)
        _out, errors = self.process.communicate(timeout=PATIENCE_S)
        assert b"Traceback" not in errors, errors.decode()


@pytest.fixture
def broker(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Broker]:
    caplog.set_level(logging.CRITICAL, "aiokafka")  # that the broker is gone is no news here
    broker = Broker(tmp_path / "data")
    try:
        topics = [NewTopic(name, PARTITIONS, 1) for name in ("numbers", "transactions", "copies")]
        admin = AdminClient({"bootstrap.servers": broker.address}, logger=quiet())
        for future in admin.create_topics(topics).values():
            future.result(PATIENCE_S)
        yield broker
    finally:
        if broker.process.poll() is None:
            broker.process.kill()
            broker.process.communicate()


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.long)])
def test_what_was_acknowledged_outlives_kills(broker: Broker, kills: int) -> None:
    chance = random.Random(kills)
    idempotent = Idempotent(broker.address, "numbers")
    aiokafka_idempotent = AiokafkaIdempotent(broker.address, "numbers")
    transactional = [
        Transactional(broker.address, "transactions", "one", 1),
        Transactional(broker.address, "transactions", "two", 2),
        AiokafkaTransactional(broker.address, "transactions", 3),
    ]
    reader = Reader(broker.address, "transactions", 4)
    copier = Copier(broker.address, "numbers", "copies")
    clients = [idempotent, aiokafka_idempotent, *transactional, reader, copier]
    for client in clients:
        client.start()
    for _ in range(kills):
        time.sleep(chance.uniform(0.3, 2.0))
        broker.kill()
        broker.start()
    for client in (idempotent, aiokafka_idempotent, *transactional, reader):
        client.end()
    numbers = history(broker, "numbers")
    copier.ends = ends(numbers)
    copier.end()
    broker.kill()
    broker.start()
    assert history(broker, "numbers") == numbers
    check_numbers(numbers, idempotent, aiokafka_idempotent)
    transactions = history(broker, "transactions")
    for writer in transactional:
        check_transactions(transactions, writer.name.encode(), writer.attempts)
    check_reader(transactions, reader)
    check_copies(numbers, history(broker, "copies"))
    broker.stop()


def check_numbers(
    numbers: History, idempotent: Idempotent, aiokafka_idempotent: AiokafkaIdempotent
) -> None:
    """Everything was acknowledged, and is there once, in order."""
    assert idempotent.refused == []
    for client in (idempotent, aiokafka_idempotent):
        wrong = {at: v for at, v in client.acknowledged.items() if numbers.get(at) != v}
        assert not wrong, f"{client.name}: acknowledged, and not there: {wrong}"
    assert len(idempotent.acknowledged) == idempotent.sent
    assert len(set(numbers.values())) == len(numbers), "something was written twice"
    for prefix in (b"rd.", b"aio."):
        for partition in range(PARTITIONS):
            found = [int(v.split(b".")[1]) for v in of(numbers, partition) if v.startswith(prefix)]
            assert found == sorted(found)
            assert found, "nothing was written, so nothing was tried"


def check_transactions(history: History, name: bytes, attempts: list[Attempt]) -> None:
    """Each transaction is there as a whole, in order, or not at all; what is known of it is true."""
    outcomes = Counter(attempt.committed for attempt in attempts)
    assert outcomes[True], "nothing was committed, so nothing was tried"
    for partition in range(PARTITIONS):
        found = [v for v in of(history, partition) if v.startswith(name + b".")]
        kept = {a.number for a in attempts if is_kept(a, history)}
        expected = [
            value
            for attempt in attempts
            if attempt.number in kept
            for to, value in attempt.written
            if to == partition
        ]
        assert found == expected


def is_kept(attempt: Attempt, history: History) -> bool:
    """Say whether a transaction ought to be there: of an undecided one, that is for the log to say."""
    if attempt.committed is not None:
        return attempt.committed
    return attempt.complete and attempt.written[0][1] in history.values()


def check_reader(history: History, reader: Reader) -> None:
    """Nobody has seen what is not there in the end, and the group missed nothing."""
    wrong = {at: v for at, v in reader.seen.items() if history.get(at) != v}
    assert not wrong, f"seen, and not committed: {wrong}"
    assert reader.resumed, "nothing was read, so nothing was tried"
    for partition, first, acknowledged, attempted in reader.resumed:
        assert first >= acknowledged, "a commit was forgotten"
        missed = [at for at in history if at[0] == partition and attempted <= at[1] < first]
        assert not missed, f"the group skipped {missed}"


def check_copies(numbers: History, copies: History) -> None:
    """Everything was copied exactly once, in order."""
    for partition in range(PARTITIONS):
        assert of(copies, partition) == of(numbers, partition)


def of(history: History, partition: int) -> list[bytes]:
    return [history[at] for at in sorted(history) if at[0] == partition]


def ends(history: History) -> dict[int, int]:
    return {
        partition: max((offset + 1 for at, offset in history if at == partition), default=0)
        for partition in range(PARTITIONS)
    }


def history(broker: Broker, topic: str) -> History:
    """Read all that is committed."""
    wait_until_decided(broker, topic)
    consumer = Consumer(
        {
            "bootstrap.servers": broker.address,
            "group.id": "historian",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        },
        logger=quiet(),
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    found: History = {}
    at_end: set[int] = set()
    deadline = time.monotonic() + PATIENCE_S
    while len(at_end) < PARTITIONS:
        assert time.monotonic() < deadline
        for message in consumer.consume(1000, 0.5):
            if message.error() is not None:
                at_end.add(message.partition())
            else:
                found[message.partition(), message.offset()] = message.value()
    consumer.close()
    return found


def wait_until_decided(broker: Broker, topic: str) -> None:
    """Wait until no transaction is open: what was left open ends by its timeout."""
    admin = AdminClient({"bootstrap.servers": broker.address}, logger=quiet())
    asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in range(PARTITIONS)}
    deadline = time.monotonic() + PATIENCE_S
    while True:
        seen = [
            {at: future.result(PATIENCE_S).offset for at, future in listed.items()}
            for isolation in IsolationLevel
            if (listed := admin.list_offsets(asked, isolation_level=isolation))
        ]
        if seen[0] == seen[1]:
            return
        assert time.monotonic() < deadline, f"{topic}: a transaction hangs: {seen}"
        time.sleep(0.1)
