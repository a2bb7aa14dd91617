"""A process with several consumers of several groups, which come and go until it is killed.

    python -m millpond.tests.scenario.group_churn_worker BOOTSTRAP SEED JOURNAL GROUP…

There is one consumer of each group named. Each lives for some seconds, leaves, and is followed by the
next. What happens to it goes to the journal, a line of JSON each: it is in the file before the next
thing happens, so it is there when the process is killed.

When the file JOURNAL.settle appears, consumers stop leaving.
"""

import json
import random
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, TopicPartition

STRATEGIES = ("range", "roundrobin", "cooperative-sticky")
LIFE_S = (5.0, 20.0)
COMMIT_EVERY_S = 1.0


class Journal:
    """Where all consumers of the process write down what happens."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._lock = threading.Lock()

    def write(self, what: str, consumer: str, **details: object) -> None:
        with self._lock:
            line = {"at": time.time(), "what": what, "consumer": consumer, **details}
            self._file.write(json.dumps(line) + "\n")


class Life:
    """One consumer, from joining to leaving."""

    def __init__(self, bootstrap: str, group: str, name: str, journal: Journal) -> None:
        self._journal = journal
        self._group = group
        self._name = name
        self._read: dict[tuple[str, int], int] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "client.id": name,
                "session.timeout.ms": 6_000,
                "heartbeat.interval.ms": 500,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "partition.assignment.strategy": STRATEGIES[int(group.split("-")[-1]) % 3],
                "fetch.wait.max.ms": 500,
                "topic.metadata.refresh.interval.ms": 60_000,
            }
        )
        self._consumer.subscribe(
            ["churn"], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def live(self, until: float, settle: Path) -> None:
        """Read and commit until it is time to leave."""
        commit_at = time.time() + COMMIT_EVERY_S
        while time.time() < until or settle.exists():
            # One at a time: of many, some might belong to partitions that are revoked meanwhile.
            message = self._consumer.poll(0.2)
            error = message.error() if message is not None else None
            if error is not None:
                self._note("error", text=error.str())
            elif message is not None:
                self._read[message.topic(), message.partition()] = message.offset() + 1
                self._note("read", partition=message.partition(), offset=message.offset())
            if time.time() >= commit_at:
                commit_at = time.time() + COMMIT_EVERY_S
                self._commit(asynchronous=True)
        self._consumer.close()
        self._note("left")

    def _commit(self, *, asynchronous: bool) -> None:
        offsets = [TopicPartition(topic, number, at) for (topic, number), at in self._read.items()]
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=asynchronous)
        except KafkaException as error:
            self._note("error", text=str(error))

    def _on_assign(self, _consumer: Consumer, partitions: Iterable[TopicPartition]) -> None:
        self._note("assigned", partitions=[each.partition for each in partitions])

    def _on_revoke(self, _consumer: Consumer, partitions: Iterable[TopicPartition]) -> None:
        self._commit(asynchronous=False)
        self._forget("revoked", partitions)

    def _on_lost(self, _consumer: Consumer, partitions: Iterable[TopicPartition]) -> None:
        self._forget("lost", partitions)

    def _forget(self, what: str, partitions: Iterable[TopicPartition]) -> None:
        gone = [each.partition for each in partitions]
        for number in gone:
            self._read.pop(("churn", number), None)
        self._note(what, partitions=gone)

    def _note(self, what: str, **details: object) -> None:
        self._journal.write(what, self._name, group=self._group, **details)


def one_after_another(
    bootstrap: str, group: str, chance: random.Random, journal: Journal, settle: Path
) -> None:
    while True:
        time.sleep(chance.uniform(0, 2))
        name = f"{group}-{chance.getrandbits(40):x}"
        life = Life(bootstrap, group, name, journal)
        life.live(time.time() + chance.uniform(*LIFE_S), settle)


def main() -> None:
    bootstrap, seed, path, *groups = sys.argv[1:]
    journal = Journal(Path(path))
    settle = Path(f"{path}.settle")
    threads = [
        threading.Thread(
            target=one_after_another,
            args=(bootstrap, group, random.Random(f"{seed}-{group}"), journal, settle),
        )
        for group in groups
    ]
    for thread in threads:
        thread.start()


if __name__ == "__main__":
    main()
