"""What the demo tells at the end, read from the tables and topics that the pipeline left."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import millpond as mp
from millpond.log.model import TopicPartition
from rich.console import Console
from rich.table import Table

from . import database
from .pipeline import GRACE, Pipeline
from .records import AirportHour, Punctuality

V = TypeVar("V")

BAR_WIDTH = 50
LAG_LINES = 12
LOOK_FURTHER = (
    "millpond topics",
    "millpond tail airport-hours",
    "millpond table get carrier-totals UA",
    "millpond groups",
)


@dataclass(frozen=True)
class Report:
    """The results, detached from the running app.

    Attributes:
        flights: all that are in the log.
        sent: those of them that this run has sent.
        seconds: until all but the slow database had seen them.
        hours: every final hour.
        totals: per name of an airline.
        lag: (seconds since the start, rows that waited for the slow database).
    """

    flights: int
    sent: int
    seconds: float
    hours: list[AirportHour]
    late: int
    totals: dict[str, Punctuality]
    stored: int
    refused: int
    lag: list[tuple[float, int]]


async def gather(
    pipeline: Pipeline, sent: int, seconds: float, lag: list[tuple[float, int]]
) -> Report:
    """Read the results; the app must be running."""
    airlines = dict(pipeline.carriers_table.items())
    totals = {airlines[code].name: total for code, total in pipeline.totals.view().items()}
    return Report(
        flights=sum(total.departures + total.cancelled for total in totals.values()),
        sent=sent,
        seconds=seconds,
        hours=await values_of(pipeline.airport_hours),
        late=len(await values_of(pipeline.late)),
        totals=totals,
        stored=len(database.rows(pipeline.database)),
        refused=len(await values_of(pipeline.refused)),
        lag=lag,
    )


async def values_of(topic: mp.Topic[str, V]) -> list[V]:
    """Read a whole topic, partition by partition."""
    log = topic.app.running.log
    description = (await log.describe_topics([topic.name]))[topic.name]
    partitions = [TopicPartition(topic.name, n) for n in range(description.partitions)]
    starts, ends = await log.start_offsets(partitions), await log.end_offsets(partitions)
    behind = {partition for partition in partitions if starts[partition] < ends[partition]}
    reader = log.reader()
    values = []
    try:
        reader.assign({partition: starts[partition] for partition in behind})
        while behind:
            for fetched in await reader.read():
                values += [topic.value_codec.decode(r.value) for r in fetched.records if r.value]
                if fetched.next_offset >= ends[fetched.partition]:
                    behind.discard(fetched.partition)
    finally:
        await reader.aclose()
    return values


def show(report: Report, data: Path, console: Console) -> None:
    """Print the report, and how to look further into the data directory."""
    late = report.late / report.flights if report.flights else 0
    console.print(
        f"\n[bold]{report.flights:,} flights[/], {report.sent:,} of them sent in this run: "
        f"through four agents in {report.seconds:.1f} s ([bold]{report.sent / report.seconds:,.0f}[/] "
        f"a second, exactly once); the slow database was done after {report.lag[-1][0]:.1f} s."
    )
    console.print(
        f"[bold]{report.late:,} flights[/] ({late:.1%}) came after the grace of "
        f"{GRACE.total_seconds() / 3600:.0f} hours and are in [cyan]flights-late[/]; "
        f"{len(report.hours):,} hours are final and in [cyan]airport-hours[/]."
    )
    console.print(
        f"[bold]{report.stored:,} rows[/] are in the database, {report.refused:,} were refused and "
        "are in [cyan]worst.dlq[/].\n"
    )
    console.print(worst_hours(report))
    console.print(carriers(report))
    console.print("\nRows waiting in the log for the slow database:")
    for line in lag_lines(report.lag):
        console.print(line, highlight=False)
    console.print("\nLook further:")
    for command in LOOK_FURTHER:
        console.print(f"  {command} --data {data}", highlight=False, soft_wrap=True)


def worst_hours(report: Report, count: int = 8) -> Table:
    """The hours with the longest mean delay, among those with some traffic."""
    table = Table("airport", "hour (UTC)", title="Worst hours", title_justify="left")
    for heading in ("departures", "cancelled", "mean delay", "longest"):
        table.add_column(heading, justify="right")
    busy = [hour for hour in report.hours if hour.departures >= 10]
    for hour in sorted(busy, key=lambda hour: hour.delay_mean or 0, reverse=True)[:count]:
        table.add_row(
            hour.airport,
            f"{hour.hour:%a %d %b %H}:00",
            f"{hour.departures}",
            f"{hour.cancelled}",
            f"{hour.delay_mean:.0f} min",
            f"{hour.delay_max} min",
        )
    return table


def carriers(report: Report) -> Table:
    """The totals, the most punctual airline first."""
    table = Table("airline", title="Totals per carrier", title_justify="left")
    for heading in ("flights", "cancelled", "mean delay", "longest"):
        table.add_column(heading, justify="right")
    for airline, total in sorted(report.totals.items(), key=lambda pair: pair[1].delay_mean or 0):
        flights = total.departures + total.cancelled
        table.add_row(
            airline,
            f"{flights:,}",
            f"{total.cancelled / flights:.1%}",
            f"{total.delay_mean:.1f} min" if total.departures else "",
            f"{total.delay_max} min" if total.departures else "",
        )
    return table


def lag_lines(lag: list[tuple[float, int]]) -> Iterator[str]:
    """Draw the lag over time, in a few lines."""
    most = max((waiting for _, waiting in lag), default=0) or 1
    step = max(1, -(-len(lag) // LAG_LINES))
    for seconds, waiting in [*lag[:-1:step], *lag[-1:]]:
        yield f"  {seconds:5.1f} s  {waiting:6,}  {'█' * round(waiting / most * BAR_WIDTH)}"
