"""Short ways to say what the stories of this suite are made of."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

import anyio
from millpond.log.cluster.cluster_log import ClusterLog
from millpond.log.interface import Log, Reader
from millpond.log.model import (
    Fetched,
    Isolation,
    NewRecord,
    Offset,
    TopicPartition,
    TopicSpec,
)

ORDERS = TopicPartition("orders", 0)
OTHER = TopicPartition("orders", 1)
TIME = 1_700_000_000_000


def new(value: bytes | None, key: bytes | None = None, timestamp: int = TIME) -> NewRecord:
    return NewRecord(key, value, timestamp)


def some(count: int, prefix: str = "v") -> list[NewRecord]:
    return [new(f"{prefix}{i}".encode(), timestamp=TIME + i) for i in range(count)]


async def make_topic(log: Log, name: str = "orders", partitions: int = 2, **config: str) -> None:
    """Make a topic; settings are given as ``cleanup_policy="compact"``."""
    settings = {setting.replace("_", "."): value for setting, value in config.items()}
    await log.create_topics([TopicSpec(name, partitions, config=settings)])


async def read_all(
    log: Log,
    tp: TopicPartition = ORDERS,
    offset: Offset = 0,
    isolation: Isolation = Isolation.READ_COMMITTED,
) -> list[Fetched]:
    """Read a partition up to its present end."""
    if isinstance(log, ClusterLog):
        await eventually(partial(has_no_open_transaction, log, tp))
    end = (await log.end_offsets([tp], isolation))[tp]
    reader = log.reader(isolation)
    reader.assign({tp: offset})
    found: list[Fetched] = []
    while offset < end:
        for fetched in await reader.read(wait_max_s=5):
            found.append(fetched)
            offset = fetched.next_offset
    await reader.aclose()
    return found


async def has_no_open_transaction(log: Log, tp: TopicPartition) -> bool:
    """Whether all is decided: Apache Kafka writes markers after it has answered that they will be."""
    ends = [(await log.end_offsets([tp], isolation))[tp] for isolation in Isolation]
    return ends[0] == ends[1]


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds that a cluster does after it has answered."""
    with anyio.fail_after(10):
        while not await holds():  # noqa: ASYNC110 - only asking tells
            await anyio.sleep(0.02)


async def values(
    log: Log,
    tp: TopicPartition = ORDERS,
    offset: Offset = 0,
    isolation: Isolation = Isolation.READ_COMMITTED,
) -> list[bytes | None]:
    return values_of(await read_all(log, tp, offset, isolation))


def values_of(found: Iterable[Fetched]) -> list[bytes | None]:
    return [record.value for fetched in found for record in fetched.records]


async def read_values(reader: Reader, count: int) -> Sequence[bytes | None]:
    """Read until `count` values have come, from whatever partitions."""
    found: list[bytes | None] = []
    while len(found) < count:
        fetched = await reader.read(wait_max_s=5)
        assert fetched, f"only {len(found)} of {count} values came"
        found += values_of(fetched)
    return found
