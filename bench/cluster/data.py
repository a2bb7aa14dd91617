"""The events of `bench/events.py` on a broker: the same for everybody, keyed by user, at their event times.

A topic's name says how many there are, so that a slow contestant can be given fewer.
"""

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from ..events import make_events

KEYS = 10_000
WAIT_S = 60
FULL_QUEUE_S = 0.2
QUIET = {"log_level": 4}


def fill(address: str, count: int, partitions: int = 1) -> str:
    """Put `count` events into a topic, unless it has them; return its name."""
    topic = f"events-{count}-{partitions}"
    if end(address, topic, partitions) >= count:
        return topic
    make_topic(address, topic, partitions)
    encode = msgspec.json.Encoder().encode
    producer = Producer(
        {
            "bootstrap.servers": address,
            "linger.ms": 20,
            "batch.num.messages": 10_000,
            "queue.buffering.max.messages": 500_000,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            **QUIET,
        }
    )
    for event in make_events(count, KEYS):
        key, value = event.user.encode(), encode(event)
        while True:
            try:
                producer.produce(topic, value, key, timestamp=event.at)
                break
            except BufferError:
                producer.poll(FULL_QUEUE_S)
    assert producer.flush(WAIT_S) == 0, "the broker does not take the events"
    assert end(address, topic, partitions) == count
    return topic


def make_topic(address: str, topic: str, partitions: int = 1) -> None:
    """Create a topic that keeps what is old."""
    new = NewTopic(topic, partitions, 1, config={"retention.ms": "-1"})
    admin = AdminClient({"bootstrap.servers": address, **QUIET})
    admin.create_topics([new])[topic].result(WAIT_S)


def end(address: str, topic: str, partitions: int = 1) -> int:
    """Return how many offsets a topic has in all; 0 if it does not exist."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "bench-data", **QUIET})
    try:
        if topic not in consumer.list_topics(timeout=WAIT_S).topics:
            return 0
        marks = [
            consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=WAIT_S)
            for number in range(partitions)
        ]
        return sum(high - low for low, high in marks)
    finally:
        consumer.close()
