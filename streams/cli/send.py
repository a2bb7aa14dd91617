"""`millpond send`: put records into a topic, from the command line or from stdin.

This writes, so it needs a data directory for itself: not beside a running worker or broker. Through a
broker it can be done at any time. What can be read from
stdin at once is appended at once, so a file goes fast and a slow pipe goes at its own pace.
"""

import os
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import anyio

from ...log.errors import ConfigError, LogLocked
from ...log.interface import Producer
from ...log.model import Headers, NewRecord, TopicPartition
from ..engine.partitioner import Partitioner
from . import look
from .changelogs import CHANGELOG_SUFFIX
from .place import Place, opened_to_change

READ_BYTES: Final = 1 << 18

Choose = Callable[[bytes | None], int]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is sent where; without a value, one record for each line of stdin."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    partition: int | None = None
    headers: Headers = ()


async def send_records(place: Place, outgoing: Outgoing) -> None:
    """Append the records; return when they are durable."""
    try:
        async with opened_to_change(place, "nothing was sent") as log:
            topic = await look.find_topic(log, outgoing.topic)
            if topic.internal or topic.name.endswith(CHANGELOG_SUFFIX):
                raise ConfigError(
                    f"topic {topic.name!r} is not for sending: it holds the state of an app, or of "
                    "the log itself, and a stray record would break that"
                )
            choose = _chooser(topic.partitions)
            if outgoing.partition is not None:
                ((_, number),) = look.partitions_of(topic, [outgoing.partition])
                choose = lambda _: number  # noqa: E731
            await _send_all(await log.producer(), outgoing, choose)
    except LogLocked as error:
        raise LogLocked(
            f"{error} An app can take in records while it runs: with `topic.send` in its own "
            "@app.task or @app.timer."
        ) from None


async def _send_all(producer: Producer, outgoing: Outgoing, choose: Choose) -> None:
    count = 0
    try:
        async for values in _values(outgoing.value):
            now = time.time_ns() // 1_000_000
            batch: dict[TopicPartition, list[NewRecord]] = {}
            for value in values:
                partition = TopicPartition(outgoing.topic, choose(outgoing.key))
                record = NewRecord(outgoing.key, value, now, outgoing.headers)
                batch.setdefault(partition, []).append(record)
            appended = await producer.append(batch)
            count += len(values)
    finally:
        if count != 1:
            print(f"sent {count:,} records to {outgoing.topic}")
    if count == 1:
        ((partition, at),) = appended.items()
        print(f"sent 1 record to {partition}, offset {at.base_offset}")


def _chooser(partitions: int) -> Choose:
    first = random.randrange(partitions)  # noqa: S311 - so that many calls use all partitions
    return Partitioner(partitions, keyless_first=first).partition


async def _values(value: bytes | None) -> AsyncIterator[Sequence[bytes]]:
    """Yield the value; or the lines of stdin, many at a time, without blank ones."""
    if value is not None:
        yield [value]
        return
    if sys.stdin.isatty():
        print("Type one record per line; Ctrl-D ends.", file=sys.stderr)
    rest = b""
    while chunk := await _read_stdin():
        *lines, rest = (rest + chunk).split(b"\n")
        if values := _without_blank(lines):
            yield values
    if values := _without_blank([rest]):
        yield values


def _without_blank(lines: list[bytes]) -> list[bytes]:
    return [line for line in (line.removesuffix(b"\r") for line in lines) if line.strip()]


async def _read_stdin() -> bytes:
    """Return what there is, at least one byte; nothing at the end."""
    descriptor = sys.stdin.fileno()
    try:
        await anyio.wait_readable(descriptor)
    except PermissionError:  # a file, which the event loop can't wait for, and need not
        await anyio.lowlevel.checkpoint()
    return os.read(descriptor, READ_BYTES)
