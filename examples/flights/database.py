"""The downstream that must not be flooded: an SQLite file, playing a slow and moody database.

Whoever made its table did not believe in delays of ten hours: the constraint refuses them, for good.
And on every `BUSY_EVERY`th write it is busy, for the moment. Writing a row twice leaves one row, since the flight is the primary key: together with
at-least-once delivery to the outside that makes exactly one row per flight, after any crash.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from .records import EnrichedFlight

BUSY_EVERY = 17

SCHEMA = """
CREATE TABLE IF NOT EXISTS worst (
    flight      TEXT PRIMARY KEY,
    airline     TEXT NOT NULL,
    plane       TEXT,
    seats       INTEGER,
    destination TEXT NOT NULL,
    departed    TEXT NOT NULL,
    delay       INTEGER NOT NULL CHECK (delay < 600)
) WITHOUT ROWID
"""
UPSERT = "INSERT OR REPLACE INTO worst VALUES (?, ?, ?, ?, ?, ?, ?)"


class Busy(Exception):
    """The database can't write now; later it can."""


class Database:
    """The table of the worst delays. Opened with `with`, since it holds a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writes = 0

    def upsert(self, flights: Iterable[EnrichedFlight]) -> list[EnrichedFlight]:
        """Write these flights; return those which the constraint refuses.

        Raises:
            Busy: now and then, and nothing is written; a second attempt succeeds.
        """
        self._writes += 1
        if self._writes % BUSY_EVERY == 0:
            raise Busy("the database is busy: try again")
        refused = []
        with self._connection:
            for flight in flights:
                try:
                    self._connection.execute(UPSERT, _row(flight))
                except sqlite3.IntegrityError:
                    refused.append(flight)
        return refused

    def __enter__(self) -> Self:
        self._connection = sqlite3.connect(self._path)
        # A crash of this process loses nothing even so, and the machine's crash is not the point.
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute(SCHEMA)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()


def rows(path: Path) -> list[tuple[str, str, str, int, str, str, int]]:
    """Read the whole table, the longest delay first."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT * FROM worst ORDER BY delay DESC, flight").fetchall()
    finally:
        connection.close()


def _row(flight: EnrichedFlight) -> tuple[object, ...]:
    return (
        flight.id,
        flight.airline,
        flight.plane,
        flight.seats,
        flight.destination,
        f"{flight.at:%Y-%m-%d %H:%M}",
        flight.delay,
    )
