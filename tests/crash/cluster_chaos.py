"""What befalls workers and their broker in `test_cluster_chaos.py`, and a watch over what it does to partitions.

Everything that befalls them is drawn from one seed. Two workers at least are always fit for work, so that
input which waits for long tells of something else than that nobody is there. A worker that is started
often has the name of one that is gone: it finds that one's directory, with state that is old by then.
"""

import contextlib
import operator
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

from confluent_kafka import Consumer, KafkaException, TopicPartition
from millpond.tests.clients import brokers, java_runtime
from millpond.tests.crash.cluster_history import PARTITIONS, PATIENCE_S, QUIET
from millpond.tests.twins.broker_process import BrokerProcess
from millpond.tests.twins.counting_app import NUMBERS, TASKS_GROUP
from millpond.tests.twins.workers import Workers

WORKERS_FIRST: Final = 3
WORKERS_MAX: Final = 5
FIT_MIN: Final = 2
"""So many are neither paused nor gone, whatever happens."""

SETTINGS: Final = {
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 500,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 500,
}


class Restartable(Protocol):
    """A broker that comes back on the same address."""

    address: str

    def restart(self, *, kill: bool) -> None: ...

    def end(self) -> None: ...


class Ours:
    """Millpond's broker."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.address = "127.0.0.1:0"
        self._start()

    def _start(self) -> None:
        options = [f"--set={name}={value}" for name, value in SETTINGS.items()]
        self._process = BrokerProcess(self._data, *options, listen=self.address)
        self._process.__enter__()
        self.address = f"127.0.0.1:{self._process.port}"

    def restart(self, *, kill: bool) -> None:
        self._end(kill=kill)
        self._start()

    def end(self) -> None:
        self._end(kill=False)

    def _end(self, *, kill: bool) -> None:
        assert self._process.process.poll() is None, f"it ended by itself: {self._process.told()}"
        if kill:
            self._process.process.kill()
            told = self._process.wait()[1]
        else:
            code, told = self._process.stop()
            assert code == 0, told
        self._process.__exit__(None, None, None)
        assert "Traceback" not in told, told


class Kafka:
    """Apache Kafka."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._running = contextlib.ExitStack()
        self._start()

    def _start(self) -> None:
        kafka = brokers.apache_kafka(self._data, java_runtime.JARS)
        self._broker = self._running.enter_context(kafka)
        self.address = self._broker.address

    def restart(self, *, kill: bool) -> None:
        if kill:
            assert self._broker.kill is not None
            self._broker.kill()
        self._running.close()
        self._start()

    def end(self) -> None:
        self._running.close()


class Chaos:
    """Draws what happens next, and lets it happen.

    Attributes:
        happened: how often each thing has.
        story: what has happened, and when.
        start_s: how long the first workers took from their start until each partition had moved.
    """

    def __init__(
        self, seed: int, workers: Workers, broker: Restartable, watch: "Watch", session_s: float
    ) -> None:
        self.happened: Counter[str] = Counter()
        self.story: list[str] = []
        self.start_s = 0.0
        self._chance = random.Random(seed)
        self._workers = workers
        self._broker = broker
        self._watch = watch
        self._session_s = session_s
        self._resume_at: dict[str, float] = {}
        self._gone: list[str] = []
        self._away_s = 0.0
        self._count = 0
        self._begun = time.monotonic()

    def run(self, duration_s: float, restarts: int) -> None:
        """Let things happen for as long, or somewhat longer; the broker is restarted in equal distances."""
        begun = self._begun = time.monotonic()
        for _ in range(WORKERS_FIRST):
            self._add()
        self._watch.until_all_moved(PATIENCE_S)
        self.start_s = time.monotonic() - begun
        begun = time.monotonic()
        restart_at = [begun + duration_s * (n + 1) / (restarts + 1) for n in range(restarts)]
        while (now := time.monotonic()) < begun + duration_s or not self._has_seen_all():
            assert now < begun + duration_s + PATIENCE_S, self.happened
            if restart_at and now > restart_at[0]:
                restart_at.pop(0)
                self._restart_broker()
            self._check()
            self._resume_due(now)
            self._one_thing()
            time.sleep(self._chance.uniform(0.2, 1.5) * self._session_s)
        for name in list(self._resume_at):
            self._resume(name)
        self._check()

    def _has_seen_all(self) -> bool:
        """Whether some of all has happened, however slow the machine is."""
        return all(self.happened[what] for what in ("killed", "paused", "stopped"))

    def _check(self) -> None:
        """None may have ended by itself, but those that had no broker."""
        for name in self._workers.without_broker(away_s=self._away_s):
            self._tell("gave up", name)
            self._resume_at.pop(name, None)
            self._gone.append(name)
        self._workers.check()

    def _one_thing(self) -> None:
        running = list(self._workers.running)
        fit = [name for name in running if name not in self._resume_at]
        possible: dict[str, Callable[[], None]] = {}
        if len(running) < WORKERS_MAX:
            possible["added"] = self._add
        if len(fit) > FIT_MIN:
            victim, stopped = self._chance.choice(fit), self._chance.choice(running)
            possible["killed"] = lambda: self._kill(victim)
            possible["paused"] = lambda: self._pause(victim)
            possible["stopped"] = lambda: self._stop(stopped)
        if possible:
            # What has happened least is likely: so even a short run has some of all.
            weights = [1 / (1 + self.happened[what]) for what in possible]
            (chosen,) = self._chance.choices(list(possible.values()), weights)
            chosen()

    def _add(self) -> None:
        if self._gone and self._chance.random() < 0.5:
            name = self._gone.pop(self._chance.randrange(len(self._gone)))
        else:
            self._count += 1
            name = f"worker-{self._count}"
        self._tell("added", name)
        self._workers.start(name)

    def _kill(self, name: str) -> None:
        self._tell("killed", name)
        self._workers.kill(name)
        self._gone.append(name)

    def _pause(self, name: str) -> None:
        pause_s = self._chance.choice([0.3, 1.5, 3.0]) * self._session_s
        self._tell("paused", f"{name} for {pause_s:.1f} s")
        self._workers.pause(name)
        self._resume_at[name] = time.monotonic() + pause_s

    def _stop(self, name: str) -> None:
        self._tell("stopped", name)
        self._resume_at.pop(name, None)  # which `stop` does
        self._workers.stop(name)
        self._gone.append(name)

    def _resume_due(self, now: float) -> None:
        for name, due in list(self._resume_at.items()):
            if due <= now:
                self._resume(name)

    def _resume(self, name: str) -> None:
        del self._resume_at[name]
        self._workers.resume(name)

    def _restart_broker(self) -> None:
        """Kill it, and the next time stop it in order."""
        what = min("broker killed", "broker stopped", key=lambda each: self.happened[each])
        self._tell(what, "")
        begun = time.monotonic()
        with self._watch.blind():
            self._broker.restart(kill=what == "broker killed")
        self._away_s = time.monotonic() - begun

    def _tell(self, what: str, whom: str) -> None:
        self.happened[what] += 1
        self.story.append(f"{time.monotonic() - self._begun:.1f} s: {what} {whom}")


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
        self._looks = 0
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
        told = self._consumer.committed(self._partitions, timeout=5)
        if any(each.error for each in told):
            return
        committed = [each.offset for each in told]
        now = time.monotonic()
        for number in range(PARTITIONS):
            self.behind[number] = ends[number] - max(committed[number], 0)
            if committed[number] != self._committed[number] or not self.behind[number]:
                self._committed[number] = committed[number]
                self._moved_at[number] = now
            elif committed[number] >= 0:
                self.longest_s = max(self.longest_s, now - self._moved_at[number])
        self._looks += 1

    @contextlib.contextmanager
    def blind(self) -> Iterator[None]:
        """Don't look meanwhile, and begin to count anew."""
        with self._no_broker:
            yield
            self._moved_at = [time.monotonic()] * PARTITIONS

    def until_all_moved(self, within_s: float) -> None:
        """Wait until something more is committed in every partition."""
        before = list(self._committed)
        self._until(lambda: all(map(operator.gt, self._committed, before)), within_s)

    def until_done(self, within_s: float) -> None:
        """Wait until nothing waits."""
        begun_by_now = self._looks + 1
        self._until(lambda: self._looks > begun_by_now and not any(self.behind), within_s)

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
