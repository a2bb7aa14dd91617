"""The events that the pipelines read: JSON of about 100 bytes in one partition, half a second out of order.

They are the same in every run: keys are uniform, and half of all amounts are below 50.
"""

import random
from collections.abc import Iterator

import millpond as mp
import msgspec
from millpond.log.embedded import EmbeddedLog
from millpond.log.model import NewRecord, TopicPartition, TopicSpec

from .measure import Work

EVENTS = TopicPartition("events", 0)
AMOUNT_MAX = 50
START_MS = 1_700_000_000_000
EVENTS_PER_MS = 20
JITTER_MS = 500
PER_APPEND = 10_000


class Event(mp.Record):
    """What happened: a payment."""

    id: int
    user: str
    amount: int
    currency: str
    shop: str
    at: int


def make_events(count: int, keys: int) -> Iterator[Event]:
    """Make the same events each time."""
    dice = random.Random(count)
    pick, uniform = dice.randrange, dice.random
    for number in range(count):
        at = START_MS + number // EVENTS_PER_MS - int(uniform() * JITTER_MS)
        user = f"user-{pick(keys):07}"
        yield Event(number, user, int(uniform() * 100), "EUR", f"shop-{number % 97:02}", at)


async def fill_events(work: Work) -> None:
    """Put the events into the log, each at its event time."""
    encode = msgspec.json.Encoder().encode
    async with EmbeddedLog.open(work.directory / "log", durability="os") as log:
        await log.create_topics([TopicSpec(EVENTS.topic, 1, config={"retention.ms": "-1"})])
        producer = await log.producer()
        waiting: list[NewRecord] = []
        for event in make_events(work.count, work.keys):
            waiting.append(NewRecord(event.user.encode(), encode(event), event.at))
            if len(waiting) == PER_APPEND:
                await producer.append({EVENTS: waiting})
                waiting = []
        await producer.append({EVENTS: waiting})
