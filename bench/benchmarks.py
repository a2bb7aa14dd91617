"""The benchmarks by name: how much, what fills the directory, what is measured, and what the floor is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from millpond import App

from . import events, floors, logs, pipelines, starts
from .measure import Measured, Work

MILLION = 1_000_000

Measure = Callable[[Work], Awaitable[Measured]]
Fill = Callable[[Work], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One line of the table.

    Attributes:
        unit: ``…/s`` reports a rate, ``s`` a duration.
        count: of events or records, at scale 1.
        fill: prepares the directory, unmeasured.
        run: what is measured.
        floor: what it is compared with, if there is something.
        keys: how many different ones there are among the events, at scale 1.
    """

    name: str
    unit: str
    count: int
    run: Measure
    fill: Fill | None = None
    floor: Measure | None = None
    keys: int = 1

    def value(self, measured: Measured) -> float:
        """Return the figure that this benchmark is about."""
        return measured.wall_s if self.unit == "s" else measured.count / measured.wall_s


def _app(make: Callable[[Work], App]) -> Measure:
    return lambda work: pipelines.run(make(work), work)


def _of_events(
    name: str, count: int, make: Callable[[Work], App], floor: Measure, keys: int
) -> Benchmark:
    return Benchmark(name, "events/s", count, _app(make), events.fill_events, floor, keys)


BENCHMARKS = {
    each.name: each
    for each in (
        _of_events("stateless", MILLION, pipelines.stateless, floors.stateless, 10_000),
        _of_events("count-10k", 2 * MILLION, pipelines.count, floors.count, 10_000),
        _of_events("count-1m", 2 * MILLION, pipelines.count, floors.count, MILLION),
        _of_events("window-sum", MILLION, pipelines.window_sum, floors.window_sum, 10_000),
        Benchmark(
            "append-fsync",
            "records/s",
            2 * MILLION,
            logs.append_fsync,
            floor=logs.append_fsync_floor,
        ),
        Benchmark(
            "append-os", "records/s", 2 * MILLION, logs.append_os, floor=logs.append_os_floor
        ),
        Benchmark(
            "fetch", "records/s", 2 * MILLION, logs.fetch, logs.fill_fetched, logs.fetch_floor
        ),
        Benchmark("start", "s", 100, starts.start, starts.fill_pings),
        Benchmark("restore", "s", MILLION, starts.restore, starts.fill_tables),
    )
}
