"""What all commands that look into a log share: open that of a directory, find a topic, read a range.

The log is opened read-only, which needs no lock and changes nothing. Names that do not exist are
answered with those that do.
"""

import difflib
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from ...log.broker.metadata import METADATA_PARTITION
from ...log.embedded import EmbeddedLog
from ...log.errors import ConfigError
from ...log.interface import Log
from ...log.model import Fetched, Offset, Record, TopicDescription, TopicPartition

DATA: Final = Path("data")
"""Where commands look that are told nothing; what `App(data=…)` is by default."""

CHOICES_MAX: Final = 12
READ_BYTES: Final = 1 << 20


def log_directory(data: Path) -> Path:
    """Return where the log of a data directory lies."""
    return data / "log"


@asynccontextmanager
async def opened(data: Path) -> AsyncIterator[EmbeddedLog]:
    """Open the log of a data directory for reading.

    Raises:
        ConfigError: there is none.
    """
    check_has_log(data)
    async with EmbeddedLog.open(log_directory(data), read_only=True) as log:
        yield log


def check_has_log(data: Path) -> None:
    """Raise ConfigError, which says where there is a log, unless it is in this data directory."""
    try:
        if has_log(data):
            return
        found = _data_directories_near(data)
    except OSError as error:
        raise ConfigError(f"data directory {str(data)!r} can't be read: {error.strerror}") from None
    if found:
        hint = f"there is one here: {' or '.join(f'--data {path}' for path in found[:CHOICES_MAX])}"
    else:
        hint = (
            "name the directory that the app has as App(data=…), with --data or in MILLPOND_DATA; "
            "the log is made when `millpond worker` runs for the first time"
        )
    raise ConfigError(f"there is no log in {str(log_directory(data).absolute())!r}: {hint}")


def has_log(data: Path) -> bool:
    """Return whether there is a log in this data directory."""
    return _is_log(log_directory(data))


def _is_log(directory: Path) -> bool:
    return (directory / str(METADATA_PARTITION)).is_dir()


def _data_directories_near(data: Path) -> list[Path]:
    """Return data directories that may have been meant."""
    nearest = [data.parent] if _is_log(data) else []
    inside = [path.parent for path in data.glob("*/log")]
    beside = [path.parent for path in Path("data").glob("*/log")]
    candidates = [*nearest, *sorted(inside), Path("data"), *sorted(beside)]
    return [path for path in dict.fromkeys(candidates) if has_log(path)]


def bytes_on_disk(data: Path, partition: TopicPartition) -> int:
    """Return how many bytes a partition's segments take."""
    total = 0
    for segment in (log_directory(data) / str(partition)).glob("*.log"):
        try:
            total += segment.stat().st_size
        except FileNotFoundError:  # deleted by retention meanwhile
            continue
    return total


# -- names -------------------------------------------------------------------------------------


def unknown(what: str, name: str, known: Collection[str], *, whose: str = "in this log") -> str:
    """Return a message for a name that does not exist: with those it is close to, or all."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        hint = f"did you mean {' or '.join(close)}?"
    elif known:
        names = sorted(known)
        more = f" and {len(names) - CHOICES_MAX} more" if len(names) > CHOICES_MAX else ""
        hint = f"there is {', '.join(names[:CHOICES_MAX])}{more}"
    else:
        hint = "there is none yet"
    return f"there is no {what} {name!r} {whose}: {hint}"


async def find_topic(log: Log, name: str) -> TopicDescription:
    """Return a topic; an internal one must be named exactly.

    Raises:
        ConfigError: it does not exist.
    """
    found = await log.describe_topics([name])
    if name not in found:
        raise ConfigError(unknown("topic", name, await log.describe_topics()))
    return found[name]


def partitions_of(topic: TopicDescription, chosen: Iterable[int] = ()) -> list[TopicPartition]:
    """Return the chosen partitions of a topic, or all.

    Raises:
        ConfigError: it has no such partition.
    """
    numbers = sorted(set(chosen)) or range(topic.partitions)
    for number in numbers:
        if not 0 <= number < topic.partitions:
            last = topic.partitions - 1
            raise ConfigError(
                f"topic {topic.name!r} has no partition {number}: it has "
                + (f"partitions 0 to {last}" if last else "partition 0 only")
            )
    return [TopicPartition(topic.name, number) for number in numbers]


# -- records -----------------------------------------------------------------------------------


async def read_batches(
    log: Log, starts: Mapping[TopicPartition, Offset], ends: Mapping[TopicPartition, Offset]
) -> AsyncIterator[tuple[TopicPartition, Sequence[Record]]]:
    """Yield the committed records from start to end of each partition, as they are read."""
    unread = {partition for partition, start in starts.items() if start < ends[partition]}
    reader = log.reader()
    try:
        reader.assign({partition: starts[partition] for partition in unread})
        while unread:
            for fetched in await reader.read(bytes_max=READ_BYTES):
                partition, end = fetched.partition, ends[fetched.partition]
                if fetched.next_offset >= end:
                    unread.discard(partition)
                    reader.pause([partition])
                yield partition, _before(fetched, end)
    finally:
        await reader.aclose()


async def read_merged(
    log: Log, starts: Mapping[TopicPartition, Offset], ends: Mapping[TopicPartition, Offset]
) -> AsyncIterator[tuple[TopicPartition, Record]]:
    """Yield the committed records from start to end of each partition, merged by time.

    As in a task, the head with the lowest timestamp comes first, and each partition keeps its
    order. Only about a read of each partition is in memory.
    """
    queues: dict[TopicPartition, deque[Record]] = {
        partition: deque() for partition, start in starts.items() if start < ends[partition]
    }
    unread = set(queues)
    reader = log.reader()
    try:
        reader.assign({partition: starts[partition] for partition in queues})
        while queues:
            hungry = {partition for partition in unread if not queues[partition]}
            if hungry:
                reader.pause(queues.keys() - hungry)
                reader.resume(hungry)
                for fetched in await reader.read(bytes_max=READ_BYTES):
                    partition = fetched.partition
                    queues[partition].extend(_before(fetched, ends[partition]))
                    if fetched.next_offset >= ends[partition]:
                        unread.discard(partition)
                continue
            queues = {partition: queue for partition, queue in queues.items() if queue}
            while queues:
                first = min(queues, key=lambda partition: queues[partition][0].timestamp)
                yield first, queues[first].popleft()
                if not queues[first]:
                    break
    finally:
        await reader.aclose()


def _before(fetched: Fetched, end: Offset) -> Sequence[Record]:
    if fetched.next_offset <= end:
        return fetched.records
    return [record for record in fetched.records if record.offset < end]
