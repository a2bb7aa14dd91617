"""The values that travel between the log and those who use it.

Nothing here does anything: these are the nouns of the interface, for an embedded log and for a
cluster alike.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias
from uuid import UUID

Offset: TypeAlias = int
"""The number of a record within its partition. A *position*, in contrast, is a byte in a file."""

Timestamp: TypeAlias = int
"""Milliseconds since the epoch, UTC."""

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


class NewRecord(NamedTuple):
    """A record that is still to be appended, so it has no offset.

    On hot paths a plain tuple of the same four fields serves as well, and is cheaper to make.
    """

    key: bytes | None
    value: bytes | None
    timestamp: Timestamp
    headers: Headers = ()


class Record(Protocol):
    """A record as it stands in the log."""

    @property
    def offset(self) -> Offset: ...
    @property
    def timestamp(self) -> Timestamp: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class Isolation(enum.Enum):
    """Which records a reader sees (KIP-98)."""

    READ_UNCOMMITTED = 0
    READ_COMMITTED = 1


class Compression(enum.IntEnum):
    """The codec of a batch; the numbers are those of the batch's attribute bits."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic to be created.

    Attributes:
        name: what it is to be called.
        partitions: how many.
        replication: how many brokers keep a copy; -1: as many as the cluster has as its default.
        config: settings by Kafka's names, such as ``cleanup.policy``.
    """

    name: str
    partitions: int
    replication: int = -1
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic that exists. A topic that is deleted and made again has another `topic_id`."""

    name: str
    topic_id: UUID
    partitions: int
    config: Mapping[str, str]
    internal: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one read brought from one partition.

    `next_offset` is where to read next. It may lie beyond the last record, because control batches,
    aborted records and compacted ones take offsets without being delivered: so always advance by
    `next_offset`, never by the last record's offset + 1. `records` may be empty for that reason.

    `end_offset` is the partition's end as this reader's isolation sees it; the lag after this read
    is `end_offset - next_offset`. `leader_epoch` is that of the last batch read.
    """

    partition: TopicPartition
    records: Sequence[Record]
    next_offset: Offset
    end_offset: Offset
    leader_epoch: int


@dataclass(frozen=True, slots=True)
class Appended:
    """Where records went: offsets `base_offset` ≤ offset < `next_offset` of one partition."""

    base_offset: Offset
    next_offset: Offset
    leader_epoch: int


@dataclass(frozen=True, slots=True)
class Place:
    """A member's place in one generation of a group: a commit that names it is refused later (KIP-447)."""

    group: str
    generation: int
    member_id: str
    instance_id: str | None = None


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """A group's progress in a partition: the next offset to read, and up to 4096 bytes of its own."""

    offset: Offset
    leader_epoch: int = -1
    metadata: str = ""
