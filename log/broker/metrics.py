"""What a broker counts as it works.

Counted are requests, connections, and the bytes and records of each topic: at most a few additions per
request and partition, never per record. Latencies go into buckets of fixed bounds, so that counts of
several brokers can be added up. What the broker knows anyway (sizes, offsets, lag) is not counted but
read when somebody asks (`snapshot.py`).
"""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

LATENCY_BOUNDS_US: Final = (
    *(50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000),
    *(1_000_000, 2_000_000, 5_000_000, 10_000_000),
)
"""Upper bounds of the buckets, themselves included; one more bucket holds what is slower."""


@dataclass(slots=True)
class Histogram:
    """How often something took how long, in microseconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_US) + 1))
    total_us: int = 0

    def observe(self, microseconds: int) -> None:
        """Count one."""
        self.counts[bisect_left(LATENCY_BOUNDS_US, microseconds)] += 1
        self.total_us += microseconds


@dataclass(slots=True)
class ApiCounts:
    """The requests of one API. Latency is from the request's arrival to the response's encoding."""

    requests: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    latency: Histogram = field(default_factory=Histogram)
    errors: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True)
class TopicCounts:
    """What went into a topic and out of it, as it travelled: compressed bytes."""

    bytes_in: int = 0
    records_in: int = 0
    bytes_out: int = 0
    produce_requests: int = 0
    fetch_requests: int = 0


@dataclass(slots=True)
class ConnectionCounts:
    """Connections now, and since the start."""

    open: int = 0
    accepted: int = 0
    refused: int = 0
    closed_for_misbehaving: int = 0
    closed_for_idling: int = 0
    closed_for_memory: int = 0
    held_bytes: int = 0
    """Memory that requests and responses take at the moment."""


class Metrics:
    """The counters of one broker."""

    def __init__(self) -> None:
        self.apis: dict[int, ApiCounts] = {}
        self.topics: dict[str, TopicCounts] = {}
        self.connections = ConnectionCounts()

    def api(self, key: int) -> ApiCounts:
        """Return the counts of an API, to be added to."""
        counts = self.apis.get(key)
        if counts is None:
            counts = self.apis[key] = ApiCounts()
        return counts

    def topic(self, name: str) -> TopicCounts:
        """Return the counts of a topic that exists, to be added to."""
        counts = self.topics.get(name)
        if counts is None:
            counts = self.topics[name] = TopicCounts()
        return counts
