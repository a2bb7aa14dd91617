"""The pipeline: what is declared here is all there is to run.

    flights ─┬─► hours per airport ─► airport-hours        (late flights ─► flights-late)
             └─► by carrier ─┬─► totals per carrier
                             └─► with airline and plane ─► enriched
                                                        └► worst ─► SQLite   (refused ─► worst.dlq)

Flights are keyed by airport, so an airport's hours are counted in one place. Counting per carrier
needs all flights of a carrier in one place, hence `group_by`: a way through the log.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import millpond as mp

from .database import Database
from .records import AirportHour, Carrier, EnrichedFlight, Flight, Plane, Punctuality

DATA = Path("data/flights-demo")
GRACE = timedelta(hours=20)
"""How long an hour stays open for flights that are reported late: 98.8% arrive in time."""

WORST_MINUTES = 180
SINK_PER_SECOND = 240
COMPACTED = {"cleanup.policy": "compact"}


@dataclass(frozen=True)
class Pipeline:
    """An app and the things in it that others want to look at."""

    app: mp.App
    data: Path
    flights: mp.Topic[str, Flight]
    carriers: mp.Topic[str, Carrier]
    planes: mp.Topic[str, Plane]
    late: mp.Topic[str, Flight]
    airport_hours: mp.Topic[str, AirportHour]
    enriched: mp.Topic[str, EnrichedFlight]
    worst: mp.Topic[str, EnrichedFlight]
    refused: mp.Topic[str, EnrichedFlight]
    hours: mp.WindowedTable[str, Punctuality]
    totals: mp.Table[str, Punctuality]
    carriers_table: mp.GlobalTable[str, Carrier]
    planes_table: mp.GlobalTable[str, Plane]

    @property
    def database(self) -> Path:
        """Where the worst delays are stored."""
        return self.data / "worst.sqlite"

    async def finished(self) -> None:
        """Return once every flight in the log is through, the slow database included."""
        await self.app.running.settle()


def make_pipeline(
    *,
    partitions: int = 3,
    data: Path = DATA,
    worst_minutes: int = WORST_MINUTES,
    sink_per_second: int = SINK_PER_SECOND,
    settings: mp.Settings | None = None,
) -> Pipeline:
    """Declare the whole pipeline. Nothing is opened before its app is run."""
    app = mp.App("flights", data=data, settings=settings)

    def topic(name: str, value: type[Any], **options: Any) -> mp.Topic[str, Any]:
        return app.topic(name, key=str, value=value, partitions=partitions, **options)

    carriers = topic("carriers", Carrier, config=COMPACTED)
    planes = topic("planes", Plane, config=COMPACTED)
    late = topic("flights-late", Flight)
    hours = app.Table("hours", key=str, value=Punctuality, default=Punctuality)
    pipeline = Pipeline(
        app=app,
        data=data,
        flights=topic("flights", Flight, timestamp=lambda flight: flight.at),
        carriers=carriers,
        planes=planes,
        late=late,
        airport_hours=topic("airport-hours", AirportHour),
        enriched=topic("enriched", EnrichedFlight),
        worst=topic("worst", EnrichedFlight),
        refused=topic("worst.dlq", EnrichedFlight),
        hours=hours.tumbling(timedelta(hours=1), grace=GRACE, late=late),
        totals=app.Table("carrier-totals", key=str, value=Punctuality, default=Punctuality),
        carriers_table=app.GlobalTable("carriers-table", topic=carriers),
        planes_table=app.GlobalTable("planes-table", topic=planes),
    )
    count_hours(pipeline)
    by_carrier = pipeline.flights.group_by(lambda flight: flight.carrier, name="by-carrier")
    add_up_carriers(pipeline, by_carrier)
    enrich(pipeline, by_carrier, worst_minutes)
    store_worst(pipeline, sink_per_second)
    return pipeline


def count_hours(pipeline: Pipeline) -> None:
    """Count each airport's hours by event time; publish each hour once, when it is final."""
    app, hours, airport_hours = pipeline.app, pipeline.hours, pipeline.airport_hours

    @app.agent(pipeline.flights)
    async def count(stream: mp.Stream[Flight]) -> None:
        async for flight in stream:
            hours[flight.origin].count(flight.delay)

    @app.agent(hours.closed)
    async def publish(stream: mp.Stream[mp.Window[str, Punctuality]]) -> None:
        async for window in stream:
            final = AirportHour(
                airport=window.key,
                hour=datetime.fromtimestamp(window.start / 1000, UTC),
                departures=window.value.departures,
                cancelled=window.value.cancelled,
                delay_sum=window.value.delay_sum,
                delay_mean=window.value.delay_mean,
                delay_max=window.value.delay_max,
            )
            await airport_hours.send(key=window.key, value=final, timestamp=window.start)


def add_up_carriers(pipeline: Pipeline, by_carrier: mp.Topic[str, Flight]) -> None:
    """Keep a running total per carrier."""
    totals = pipeline.totals

    @pipeline.app.agent(by_carrier)
    async def add_up(stream: mp.Stream[Flight]) -> None:
        async for flight in stream:
            totals[flight.carrier].count(flight.delay)


def enrich(pipeline: Pipeline, by_carrier: mp.Topic[str, Flight], worst_minutes: int) -> None:
    """Add the airline's name and the plane; pick out the worst delays."""
    enriched, worst = pipeline.enriched, pipeline.worst
    carriers, planes = pipeline.carriers_table, pipeline.planes_table

    @pipeline.app.agent(by_carrier)
    async def look_up(stream: mp.Stream[Flight]) -> None:
        async for flight in stream:
            plane = planes.get(flight.tail) if flight.tail else None
            row = EnrichedFlight(
                carrier=flight.carrier,
                number=flight.number,
                airline=carriers[flight.carrier].name,
                tail=flight.tail,
                plane=plane.model if plane else None,
                seats=plane.seats if plane else None,
                origin=flight.origin,
                destination=flight.destination,
                scheduled=flight.scheduled,
                delay=flight.delay,
                at=flight.at,
            )
            await enriched.send(key=flight.carrier, value=row)
            if flight.delay is not None and flight.delay >= worst_minutes:
                await worst.send(key=row.id, value=row)


def store_worst(pipeline: Pipeline, per_second: int) -> None:
    """Shave the peak: the database sees so many rows a second and no more.

    When the database is busy the batch is tried again, later and later. What it refuses for good
    is a dead letter, and part of the same commit as the batch it came with.
    """
    path, refused = pipeline.database, pipeline.refused

    @pipeline.app.agent(
        pipeline.worst,
        flow=mp.Flow(rate=mp.Rate(per_second, per=timedelta(seconds=1))),
        on_error=mp.Retry(5, backoff=(0.05, 1)).then(mp.DeadLetter(refused)),
    )
    async def to_sqlite(stream: mp.Stream[EnrichedFlight]) -> None:
        with Database(path) as database:
            async for batch in stream.take(50, within=timedelta(seconds=0.2)):
                for flight in database.upsert(batch.values):
                    await refused.send(key=flight.id, value=flight, timestamp=flight.at)
