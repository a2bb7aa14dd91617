"""What a table holds, read from its changelog: beside a running worker, and without its store.

A worker has its stores to itself, but their changelogs are in the log. So looking at a table means
reading its changelog from the beginning, the last record of a key being its value. Windows whose
closing was committed are left out, though their records remain until retention takes them.

Without the app, keys have no type and are shown as what they look like; see `show.store_key`. The
app says exactly what they are, and how long a window is.
"""

import contextlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ...log.errors import ConfigError
from ...log.interface import Log
from ...log.model import Record
from ...state.changelog import KEY_VALUE_1, WINDOWED_1, unknown_version
from ...state.keys import START_BYTES, decode_start
from ..app import App
from ..engine.task import BEGINNING, Meta
from ..table import Table
from ..windowed import WindowedTable
from . import look, show

CHANGELOG_SUFFIX: Final = "-changelog"

ShowKey = Callable[[bytes], str]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a table's data lies, and how its keys are read.

    Attributes:
        app: the name of the app, of which the groups tell which windows are closed; None of a
            global table, which is a plain topic.
        size_ms: of its windows, if it has any and the app is at hand.
    """

    table: str
    topic: str
    app: str | None
    show_key: ShowKey = show.store_key
    size_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with its value; `start` is that of its window, if it has one."""

    key: str
    start: int | None
    partition: int
    value: bytes


# -- which topic -------------------------------------------------------------------------------


def source_in(app: App, table: str) -> Source:
    """Return the source of an app's table.

    Raises:
        ConfigError: the app has no such table.
    """
    topology = app.topology()
    tables = {each.name: each for sub in topology.subtopologies for each in sub.tables}
    copies = {each.name: each for each in topology.global_tables}
    if table in copies:
        topic = copies[table].topic
        return Source(table, topic.name, None, _shower(topic.key_codec.decode))
    if table not in tables:
        whose = f"that agents of app {app.name!r} use"
        raise ConfigError(look.unknown("table", table, {*tables, *copies}, whose=whose))
    found: Table[Any, Any] = tables[table]
    size_ms = found.windows.size_ms if isinstance(found, WindowedTable) else None
    decode = found.store_key_codec.decode
    return Source(table, topology.changelog(found), app.name, _shower(decode), size_ms)


async def source_named(log: Log, table: str, app: str | None) -> Source:
    """Return the source of a table of which only the name is known.

    Raises:
        ConfigError: there is none, or there are several.
    """
    topics = await log.describe_topics()
    apps = {app} if app else {group.partition(".")[0] for group in await log.groups()}
    found = sorted(each for each in apps if _changelog(each, table) in topics)
    if not found:
        whose = f"of app {app!r}" if app else "in this log"
        raise ConfigError(look.unknown("table", table, _tables(topics, apps), whose=whose))
    if len(found) > 1:
        choices = " or ".join(f"--app-name {each}" for each in found)
        raise ConfigError(f"{len(found)} apps have a table {table!r}: say {choices}")
    return Source(table, _changelog(found[0], table), found[0])


def _changelog(app: str, table: str) -> str:
    return f"{app}-{table}{CHANGELOG_SUFFIX}"


def _tables(topics: Iterable[str], apps: Iterable[str]) -> set[str]:
    """Return the names of the apps' tables."""
    return {
        topic.removeprefix(f"{app}-").removesuffix(CHANGELOG_SUFFIX)
        for topic in topics
        for app in apps
        if topic.startswith(f"{app}-") and topic.endswith(CHANGELOG_SUFFIX)
    }


def _shower(decode: Callable[[bytes], Any]) -> ShowKey:
    """Return a function that shows keys of a known type; what does not fit it is shown as it looks."""

    def show_key(data: bytes) -> str:
        try:
            key = decode(data)
        except ValueError:
            return show.store_key(data)
        if isinstance(key, bytes):
            return show.one_line(key)
        plain = msgspec.to_builtins(key)
        return show.printable(plain) if isinstance(plain, str) else show.to_json(plain)

    return show_key


# -- what it holds -----------------------------------------------------------------------------


async def read_table(log: Log, source: Source, key: str | None = None) -> list[Entry]:
    """Return what the table holds as of the last commits, or what it holds of one key.

    Entries are ordered as in the store: by window, then by key.

    Raises:
        ConfigError: the topic does not exist.
        UnknownFormat: the changelog was written by a later version.
    """
    topic = await look.find_topic(log, source.topic)
    partitions = look.partitions_of(topic)
    starts, ends = await log.start_offsets(partitions), await log.end_offsets(partitions)
    wants = None if key is None else _Wants(source.show_key, key)
    latest: dict[tuple[int | None, bytes, int], bytes] = {}
    async for (_, partition), records in look.read_batches(log, starts, ends):
        for record in records:
            start, stored = _split_key(source, partition, record)
            if wants is not None and not wants[stored]:
                continue
            if record.value is None:
                latest.pop((start, stored, partition), None)
            else:
                latest[start, stored, partition] = record.value
    closed = await _closed(log, source)
    return [
        Entry(source.show_key(stored), start, partition, latest[start, stored, partition])
        for start, stored, partition in sorted(latest)
        if start is None or start >= closed.get(partition, BEGINNING)
    ]


def _split_key(source: Source, partition: int, record: Record) -> tuple[int | None, bytes]:
    """Return a record's window, if it has one, and its key as it is stored."""
    stored = record.key or b""
    kind = tuple(record.headers)
    if source.app is None or kind == (KEY_VALUE_1,):
        return None, stored
    if kind == (WINDOWED_1,):
        return decode_start(stored), stored[START_BYTES:]
    where = f"{source.topic}-{partition} at offset {record.offset}"
    raise unknown_version(where, record.headers)


class _Wants(dict[bytes, bool]):
    """Whether a stored key is the one that a user has typed; each key is looked at once."""

    def __init__(self, show_key: ShowKey, key: str) -> None:
        self._show_key = show_key
        self._spellings = {key}
        with contextlib.suppress(ValueError):  # a composite key is JSON, spaced as one likes
            self._spellings.add(show.to_json(json.loads(key)))

    def __missing__(self, stored: bytes) -> bool:
        wanted = self[stored] = self._show_key(stored) in self._spellings
        return wanted


async def _closed(log: Log, source: Source) -> dict[int, int]:
    """Return, by partition, the start below which the table's windows are closed.

    It is committed with the input offsets of the tasks that have the table, as their metadata.
    """
    limits: dict[int, int] = {}
    for group in await log.groups():
        if source.app is None or not group.startswith(f"{source.app}."):
            continue
        for (_, number), committed in (await log.committed_offsets(group)).items():
            try:
                meta = msgspec.json.decode(committed.metadata or "{}", type=Meta)
            except msgspec.DecodeError:  # not a task's, so it says nothing of windows
                continue
            limit = meta.closed.get(source.table, BEGINNING)
            limits[number] = max(limit, limits.get(number, BEGINNING))
    return limits
