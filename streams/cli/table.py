"""`millpond table`: what a table holds, by key or as a list."""

import sys
from pathlib import Path

from ...log.interface import Log
from ...log.model import Timestamp
from ..app import App
from . import look, show
from .changelogs import Entry, Source, read_table, source_in, source_named
from .failures import NothingFound


async def show_value(
    data: Path, app: App | str | None, table: str, key: str, window: Timestamp | None
) -> None:
    """Print the value of a key; of a windowed table, that of each window that is open.

    Args:
        data: the data directory.
        app: the app itself, so that types are known; or its name; or None if the log tells.
        table: its name.
        key: as `list` shows it.
        window: the start of one window.

    Raises:
        NothingFound: the table does not hold the key.
    """
    async with look.opened(data) as log:
        source = await _source(log, app, table)
        entries = await read_table(log, source, key)
    if window is not None:
        entries = [entry for entry in entries if entry.start == window]
    if not entries:
        where = "" if window is None else f" in an open window that starts at {show.time(window)}"
        raise NothingFound(
            f"table {table!r} has no key {key!r}{where}, as of what is committed. "
            f"`millpond table list {table}` shows what it has."
        )
    for entry in entries:
        print(_value(source, entry, alone=len(entries) == 1))


async def show_table(data: Path, app: App | str | None, table: str, limit: int) -> None:
    """Print the first entries of a table."""
    async with look.opened(data) as log:
        source = await _source(log, app, table)
        entries = await read_table(log, source)
    windowed = any(entry.start is not None for entry in entries)
    rows = [
        (
            *([_window(source, entry.start)] if entry.start is not None else []),
            entry.key,
            show.one_line(entry.value),
        )
        for entry in entries[:limit]
    ]
    if rows:
        titles = ("window", "key", "value") if windowed else ("key", "value")
        print(show.columns(titles, rows, sys.stdout))
    sys.stdout.flush()
    held = f"{len(entries):,} entries" if len(entries) != 1 else "1 entry"
    more = f", of which {limit:,} are shown" if len(entries) > limit else ""
    print(f"table {table} holds {held}{more}", file=sys.stderr)


async def _source(log: Log, app: App | str | None, table: str) -> Source:
    return source_in(app, table) if isinstance(app, App) else await source_named(log, table, app)


def _value(source: Source, entry: Entry, *, alone: bool) -> str:
    """Return a value, with its window or partition where that is needed to tell values apart."""
    pretty = sys.stdout.isatty()
    value = show.many_lines(entry.value, "") if pretty else show.one_line(entry.value)
    if entry.start is not None:
        return f"{_window(source, entry.start)}  {show.one_line(entry.value)}"
    return value if alone else f"partition {entry.partition}: {show.one_line(entry.value)}"


def _window(source: Source, start: Timestamp) -> str:
    if source.size_ms is None:
        return show.time(start)
    return f"{show.time(start)}/{show.time(start + source.size_ms)}"
