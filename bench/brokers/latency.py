"""How long a record takes from one client through the broker to another, at a steady rate.

A process of its own: ``python -m bench.brokers.latency ADDRESS TOPIC RATE LINGER_MS SECONDS`` prints the
median and the 99th percentile in milliseconds as JSON. Producer and consumer are librdkafka with acks=all, in threads of one process so that they share a clock. The first five seconds are not counted: a JVM is slow until then.
"""

import json
import struct
import sys
import threading
import time
from collections.abc import Sequence

from confluent_kafka import Consumer, Producer, TopicPartition

STAMP = struct.Struct(">q")
WARM_UP_S = 5.0
PADDING = b"x" * 92


def measure(
    address: str, topic: str, rate: int, linger_ms: int, seconds: float
) -> dict[str, float]:
    """Return quantiles of the time between `produce` and the record's arrival, in milliseconds."""
    count = int(rate * (seconds + WARM_UP_S))
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "latency",
            "fetch.wait.max.ms": 100,
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    taken: list[float] = []
    thread = threading.Thread(target=_consume, args=(consumer, count, taken))
    thread.start()
    _produce(address, topic, rate, linger_ms, count)
    thread.join(60)
    consumer.close()
    counted = sorted(taken[int(rate * WARM_UP_S) :])
    return {"p50": quantile(counted, 0.5), "p99": quantile(counted, 0.99), "count": len(counted)}


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value that this share of the ordered values does not exceed."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def _consume(consumer: Consumer, count: int, taken: list[float]) -> None:
    deadline = time.monotonic() + 120
    while len(taken) < count and time.monotonic() < deadline:
        message = consumer.poll(1.0)
        if message is not None and message.error() is None:
            sent = STAMP.unpack_from(message.value())[0]
            taken.append((time.perf_counter_ns() - sent) / 1e6)


def _produce(address: str, topic: str, rate: int, linger_ms: int, count: int) -> None:
    producer = Producer({"bootstrap.servers": address, "linger.ms": linger_ms, "acks": "all"})
    begun = time.perf_counter()
    for number in range(count):
        ahead = begun + number / rate - time.perf_counter()
        if ahead > 0:
            time.sleep(ahead)
        producer.produce(topic, STAMP.pack(time.perf_counter_ns()) + PADDING)
        producer.poll(0)
    producer.flush(60)


if __name__ == "__main__":
    _, chosen, name, per_second, linger, lasts = sys.argv
    print(json.dumps(measure(chosen, name, int(per_second), int(linger), float(lasts))))
