"""What befalls workers in `test_cluster_chaos.py`, and what goes on beside it: input that never ends, and a watch.

Everything that befalls them is drawn from one seed. Two workers at least are always fit for work, so that
input which waits for long tells of something else than that nobody is there.
"""

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

from confluent_kafka import Consumer, IsolationLevel, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec
from millpond.tests.clients import brokers, java_runtime
from millpond.tests.crash.test_broker_kill import Broker as OurProcess
from millpond.tests.twins.counting_app import CHANGELOG, COUNTED, NUMBERS, TASKS_GROUP
from millpond.tests.twins.workers import Workers

PARTITIONS: Final = 8
KEYS: Final = 40
PER_BURST: Final = 20
BURST_S: Final = 0.05
PATIENCE_S: Final = 90
QUIET: Final = {"log_level": 0, "error_cb": lambda _error: None}


class Restartable(Protocol):
    """A broker that comes back on the same address."""

    address: str

    def restart(self) -> None: ...

    def end(self) -> None: ...


class Ours:
    """Millpond's broker: it is killed, and started again."""

    def __init__(self, data: Path) -> None:
        self._process = OurProcess(data)
        self.address = self._process.address

    def restart(self) -> None:
        self._process.kill()
        self._process.start()

    def end(self) -> None:
        self._process.stop()


class Kafka:
    """Apache Kafka: it is stopped in order, and started again."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._running = contextlib.ExitStack()
        self._start()

    def _start(self) -> None:
        kafka = brokers.apache_kafka(self._data, java_runtime.JARS)
        self.address = self._running.enter_context(kafka).address

    def restart(self) -> None:
        self._running.close()
        self._start()

    def end(self) -> None:
        self._running.close()


class Chaos:
    """Draws what happens next, and lets it happen."""

    def __init__(
        self, seed: int, workers: Workers, broker: Restartable, watch: "Watch", session_s: float
    ) -> None:
        self.happened: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._workers = workers
        self._broker = broker
        self._watch = watch
        self._session_s = session_s
        self._resume_at: dict[str, float] = {}
        self._number = 0

    def run(self, duration_s: float, restarts: int) -> None:
        """Let things happen; the broker is restarted so many times, in equal distances."""
        self._add(3)
        self._watch.until_all_moved(PATIENCE_S)
        begun = time.monotonic()
        restart_at = [begun + duration_s * (n + 1) / (restarts + 1) for n in range(restarts)]
        while (now := time.monotonic()) < begun + duration_s:
            if restart_at and now > restart_at[0]:
                restart_at.pop(0)
                self._restart_broker()
            self._workers.check()
            self._resume_due(now)
            self._one_thing()
            time.sleep(self._chance.uniform(0.2, 1.5) * self._session_s)
        for name in list(self._resume_at):
            self._resume(name)
        self._workers.check()

    def _one_thing(self) -> None:
        fit = [name for name in self._workers.running if name not in self._resume_at]
        # Of what may happen now, what has happened least: so even a short run has some of all.
        possible: dict[str, Callable[[str], None]] = {}
        if len(self._workers.running) < 5:
            possible["added"] = lambda _: self._add(1)
        if len(fit) > 2:
            possible |= {"killed": self._kill, "paused": self._pause, "stopped": self._stop}
        if possible:
            weights = [1 / (1 + self.happened[what]) for what in possible]
            (chosen,) = self._chance.choices(list(possible.values()), weights)
            chosen(self._chance.choice(fit))

    def _add(self, count: int) -> None:
        for _ in range(count):
            self._number += 1
            self._workers.start(f"worker-{self._number}")
            self.happened["added"] += 1

    def _kill(self, name: str) -> None:
        self._workers.kill(name)
        self.happened["killed"] += 1

    def _pause(self, name: str) -> None:
        self._workers.pause(name)
        pause_s = self._chance.choice([0.3, 1.5, 3.0]) * self._session_s
        self._resume_at[name] = time.monotonic() + pause_s
        self.happened["paused"] += 1

    def _stop(self, name: str) -> None:
        self._workers.stop(name)
        self.happened["stopped"] += 1

    def _resume_due(self, now: float) -> None:
        for name, due in list(self._resume_at.items()):
            if due <= now:
                self._resume(name)

    def _resume(self, name: str) -> None:
        del self._resume_at[name]
        self._workers.resume(name)

    def _restart_broker(self) -> None:
        with self._watch.blind():
            self._broker.restart()
        self.happened["broker restarted"] += 1


class Input(threading.Thread):
    """Sends numbers until it is told to end; each goes to the broker once, whatever happens to that."""

    def __init__(self, address: str, seed: int) -> None:
        super().__init__(name="input", daemon=True)
        self._chance = random.Random(seed)
        self._ending = threading.Event()
        self.sent = 0
        self._producer = Producer(
            {
                "bootstrap.servers": address,
                "enable.idempotence": True,
                "linger.ms": 5,
                "message.timeout.ms": 0,
                "partitioner": "murmur2_random",
                **QUIET,
            }
        )

    def run(self) -> None:
        while not self._ending.wait(BURST_S):
            for _ in range(PER_BURST):
                key = f"key-{self._chance.randrange(KEYS)}"
                self._producer.produce(NUMBERS, str(self.sent).encode(), key.encode())
                self.sent += 1
            self._producer.poll(0)

    @contextlib.contextmanager
    def coming(self) -> Iterator[None]:
        """Send meanwhile; at the end wait until all is there."""
        self.start()
        try:
            yield
        finally:
            self._ending.set()
            self.join()
        assert self._producer.flush(PATIENCE_S) == 0


class Watch(threading.Thread):
    """Looks how long each partition has input that waits, and nothing of it is committed.

    Attributes:
        longest_s: the longest time, but for those in which there was no broker.
    """

    def __init__(self, address: str) -> None:
        super().__init__(name="watch", daemon=True)
        self._partitions = [TopicPartition(NUMBERS, number) for number in range(PARTITIONS)]
        settings = {"bootstrap.servers": address, "group.id": TASKS_GROUP, **QUIET}
        self._consumer = Consumer(settings)
        self._ending = threading.Event()
        self._no_broker = threading.Lock()
        self._committed = [-1] * PARTITIONS
        self._moved_at = [time.monotonic()] * PARTITIONS
        self.longest_s = 0.0
        self.behind = [1] * PARTITIONS

    def run(self) -> None:
        while not self._ending.wait(0.1):
            with self._no_broker, contextlib.suppress(KafkaException):
                self._look()

    def _look(self) -> None:
        ends = [
            self._consumer.get_watermark_offsets(partition, timeout=5)[1]
            for partition in self._partitions
        ]
        committed = [each.offset for each in self._consumer.committed(self._partitions, timeout=5)]
        now = time.monotonic()
        for number in range(PARTITIONS):
            self.behind[number] = ends[number] - max(committed[number], 0)
            if committed[number] != self._committed[number] or not self.behind[number]:
                self._committed[number] = committed[number]
                self._moved_at[number] = now
            elif committed[number] >= 0:
                self.longest_s = max(self.longest_s, now - self._moved_at[number])

    @contextlib.contextmanager
    def blind(self) -> Iterator[None]:
        """Don't look meanwhile, and begin to count anew."""
        with self._no_broker:
            yield
            self._moved_at = [time.monotonic()] * PARTITIONS

    def until_all_moved(self, within_s: float) -> None:
        """Wait until something is committed in every partition."""
        self._until(lambda: min(self._committed) > 0, within_s)

    def until_done(self, within_s: float) -> None:
        """Wait until nothing waits."""
        self._until(lambda: not any(self.behind), within_s)

    def _until(self, reached: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not reached():
            if time.monotonic() > deadline:
                raise AssertionError(f"after {within_s} s: {self._committed}, behind {self.behind}")
            time.sleep(0.1)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Look meanwhile."""
        self.start()
        try:
            yield
        finally:
            self._ending.set()
            self.join()
            self._consumer.close()


def make_topics(address: str) -> None:
    """Create what comes in and what goes out."""
    admin = AdminClient({"bootstrap.servers": address, **QUIET})
    topics = [NewTopic(name, PARTITIONS, 1) for name in (NUMBERS, COUNTED)]
    for made in admin.create_topics(topics).values():
        made.result(PATIENCE_S)


def read_topic(address: str, topic: str) -> list[list[tuple[bytes, bytes]]]:
    """Return key and value of all that is committed, of each partition."""
    _wait_until_decided(address, topic)
    settings = {
        "bootstrap.servers": address,
        "group.id": "historian",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "enable.auto.commit": False,
        **QUIET,
    }
    consumer = Consumer(settings)
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    found: list[list[tuple[bytes, bytes]]] = [[] for _ in range(PARTITIONS)]
    at_end: set[int] = set()
    deadline = time.monotonic() + PATIENCE_S
    while len(at_end) < PARTITIONS:
        assert time.monotonic() < deadline, f"{topic}: not read to its end"
        for message in consumer.consume(1000, 0.5):
            if message.error() is not None:
                at_end.add(message.partition())
            else:
                found[message.partition()].append((message.key(), message.value()))
    consumer.close()
    return found


def read_table(address: str) -> dict[bytes, bytes]:
    """Return what the changelog says of each key."""
    return {key: value for partition in read_topic(address, CHANGELOG) for key, value in partition}


def _wait_until_decided(address: str, topic: str) -> None:
    """Wait until no transaction is open: what the killed have left open ends by its timeout."""
    admin = AdminClient({"bootstrap.servers": address, **QUIET})
    asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in range(PARTITIONS)}
    deadline = time.monotonic() + PATIENCE_S
    while True:
        seen = [
            [future.result(PATIENCE_S).offset for future in listed.values()]
            for isolation in IsolationLevel
            if (listed := admin.list_offsets(asked, isolation_level=isolation))
        ]
        if seen[0] == seen[1]:
            return
        assert time.monotonic() < deadline, f"{topic}: a transaction hangs: {seen}"
        time.sleep(0.1)
