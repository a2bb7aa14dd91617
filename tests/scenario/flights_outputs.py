"""What the flights pipeline wrote, in the words of `tests/twins/flights.py`.

Topics are read as bytes and plain JSON, so that a mistake of a codec can't undo itself here.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any, NamedTuple

import msgspec
from millpond.examples.flights import database
from millpond.examples.flights.pipeline import Pipeline
from millpond.examples.flights.records import Punctuality
from millpond.log.interface import Log
from millpond.log.model import Record, TopicPartition
from millpond.streams.cli.changelogs import read_table, source_in
from millpond.tests.twins.flights import (
    AirportHour,
    CarrierCounts,
    Enriched,
    Expected,
    Flight,
    FlightId,
    HourCounts,
    LateFlight,
)


class Line(NamedTuple):
    """A record with its JSON value."""

    record: Record
    json: dict[str, Any]


@dataclass
class Written:
    """Everything the pipeline wrote. Lists where something could have been written twice."""

    flights: list[list[Flight]]
    late: list[list[LateFlight]]
    closed: list[tuple[AirportHour, HourCounts]]
    still_open: dict[AirportHour, HourCounts]
    totals: dict[str, CarrierCounts]
    enriched: list[tuple[FlightId, Enriched]]
    stored: list[tuple[FlightId, Enriched]]
    refused: list[tuple[FlightId, Enriched]]


async def read_outputs(pipeline: Pipeline) -> Written:
    """Read topics, tables and the database. The app must be running."""
    hours = {
        (airport, start): HourCounts(*counts_of(value))
        for start, airport, value in pipeline.hours.view().items()
    }
    totals = {
        carrier: CarrierCounts(*counts_of(value))
        for carrier, value in pipeline.totals.view().items()
    }
    return await read_log(pipeline.app.running.log, pipeline, hours, totals)


async def read_changelogs(log: Log, pipeline: Pipeline) -> Written:
    """Read the same, the tables from their changelogs: of an app that runs elsewhere, or not at all."""
    decode = msgspec.json.Decoder(Punctuality).decode
    hours: dict[AirportHour, HourCounts] = {}
    for entry in await read_table(log, source_in(pipeline.app, "hours")):
        assert entry.start is not None
        hours[entry.key, entry.start] = HourCounts(*counts_of(decode(entry.value)))
    totals = {
        entry.key: CarrierCounts(*counts_of(decode(entry.value)))
        for entry in await read_table(log, source_in(pipeline.app, "carrier-totals"))
    }
    return await read_log(log, pipeline, hours, totals)


async def read_log(
    log: Log,
    pipeline: Pipeline,
    hours: dict[AirportHour, HourCounts],
    totals: dict[str, CarrierCounts],
) -> Written:
    """Read topics and the database; what the tables hold is known."""
    flights = await read_topic(log, "flights")
    late = await read_topic(log, "flights-late")
    assert_forwarded_as_they_came(flights, late)
    return Written(
        flights=[[flight_of(line) for line in partition] for partition in flights],
        late=[[late_flight_of(line) for line in partition] for partition in late],
        closed=[hour_of(line) for line in chain(*await read_topic(log, "airport-hours"))],
        still_open=hours,
        totals=totals,
        enriched=[enriched_of(line) for line in chain(*await read_topic(log, "enriched"))],
        stored=[row_of(row) for row in database.rows(pipeline.database)],
        refused=[enriched_of(line) for line in chain(*await read_topic(log, "worst.dlq"))],
    )


def assert_exactly(written: Written, expected: Expected) -> None:
    """Everything is there, nothing is there twice, and all of it is right."""
    assert written.flights == expected.partitions, "the ingest lost, doubled or reordered flights"
    assert written.late == expected.late
    assert_same(written.closed, expected.closed)
    assert written.still_open == expected.still_open
    assert written.totals == expected.totals
    assert_same(written.enriched, expected.enriched)
    assert_same(written.stored, expected.stored)
    assert_same(written.refused, expected.refused)


def assert_same(written: list[tuple[Any, Any]], expected: dict[Any, Any]) -> None:
    """The pairs are those of the dict, each once, in any order."""
    found = dict(written)
    assert len(found) == len(written), "something was written twice"
    assert found == expected


def assert_forwarded_as_they_came(flights: list[list[Line]], late: list[list[Line]]) -> None:
    """A late flight has the same key, value and timestamp as in the topic that it came from."""
    for came, went in zip(flights, late, strict=True):
        known = {(record.key, record.value, record.timestamp) for record, _ in came}
        assert all((r.key, r.value, r.timestamp) in known for r, _ in went)


async def read_topic(log: Log, topic: str) -> list[list[Line]]:
    """Read all committed records of a topic, partition by partition."""
    description = (await log.describe_topics([topic]))[topic]
    partitions = [TopicPartition(topic, number) for number in range(description.partitions)]
    return [await read_partition(log, partition) for partition in partitions]


async def read_partition(log: Log, partition: TopicPartition) -> list[Line]:
    position, end = 0, (await log.end_offsets([partition]))[partition]
    lines: list[Line] = []
    reader = log.reader()
    try:
        reader.assign({partition: position})
        while position < end:
            for fetched in await reader.read(wait_max_s=5):
                lines += [Line(record, json.loads(record.value)) for record in fetched.records]  # type: ignore[arg-type]
                position = fetched.next_offset
    finally:
        await reader.aclose()
    return lines


def flight_of(line: Line) -> Flight:
    value = line.json
    assert line.record.key == value["origin"].encode()
    return Flight(
        id_of(value), value["tail"], value["destination"], value["delay"], line.record.timestamp
    )


def late_flight_of(line: Line) -> LateFlight:
    headers = dict(line.record.headers)
    assert headers["millpond.late.table"] == b"hours"
    return LateFlight(flight_of(line), int(headers["millpond.late.by-ms"] or b""))


def hour_of(line: Line) -> tuple[AirportHour, HourCounts]:
    value = line.json
    counts = HourCounts(
        value["departures"], value["cancelled"], value["delay_sum"], value["delay_max"]
    )
    mean = counts.delay_sum / counts.departures if counts.departures else None
    assert value["delay_mean"] == mean
    start = ms(value["hour"])
    assert (line.record.key, line.record.timestamp) == (value["airport"].encode(), start)
    return (value["airport"], start), counts


def enriched_of(line: Line) -> tuple[FlightId, Enriched]:
    value = line.json
    at_ms = ms(value["at"])
    assert line.record.timestamp == at_ms, "an output inherits the time of the event behind it"
    return id_of(value), Enriched(
        value["airline"],
        value["plane"],
        value["seats"],
        value["destination"],
        value["delay"],
        at_ms,
    )


def row_of(row: Sequence[Any]) -> tuple[FlightId, Enriched]:
    name, airline, plane, seats, destination, departed, delay = row
    number, origin, scheduled = name.split(" ", 2)
    id_ = FlightId(number[:2], int(number[2:]), origin, ms(scheduled))
    return id_, Enriched(airline, plane, seats, destination, delay, ms(departed))


def id_of(value: dict[str, Any]) -> FlightId:
    return FlightId(value["carrier"], value["number"], value["origin"], ms(value["scheduled"]))


def counts_of(value: Punctuality) -> tuple[int, int, int, int | None]:
    return value.departures, value.cancelled, value.delay_sum, value.delay_max


def ms(text: str) -> int:
    """Read a time, which is UTC when it doesn't say."""
    time = datetime.fromisoformat(text)
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
