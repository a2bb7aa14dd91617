"""What is measured of stream processing: apps as a user would write them, exactly once, synced to disk.

They run with default settings. The clock runs from the moment the agents wait for their first event
until everything is processed and committed: outputs, changelogs and progress are on disk by then.
"""

from datetime import timedelta

import millpond as mp
from millpond.streams.engine.engine import Engine

from .events import AMOUNT_MAX, EVENTS, Event
from .measure import Measured, Meter, Work

WINDOW = timedelta(seconds=10)
GRACE = timedelta(seconds=2)


class Sum(mp.Record):
    """The sum of a user's amounts in a window."""

    user: str
    start: int
    total: int


def make_app(work: Work, name: str) -> mp.App:
    return mp.App(f"{name}-{work.number}", data=work.directory)


def stateless(work: Work) -> mp.App:
    """JSON in, half of the events filtered out, JSON out."""
    app = make_app(work, "stateless")
    events = app.topic(EVENTS.topic, key=str, value=Event)
    small = app.topic(f"small-{work.number}", key=str, value=Event)

    @app.agent(events)
    async def pick(stream: mp.Stream[Event]) -> None:
        async for event in stream:
            if event.amount < AMOUNT_MAX:
                await small.send(key=event.user, value=event)

    return app


def count(work: Work) -> mp.App:
    """How many events each user has had, in a table."""
    app = make_app(work, "count")
    events = app.topic(EVENTS.topic, key=str, value=Event)
    counts = app.Table("counts", key=str, value=int, default=int)

    @app.agent(events)
    async def add_up(stream: mp.Stream[Event]) -> None:
        async for event in stream:
            counts[event.user] += 1

    return app


def window_sum(work: Work) -> mp.App:
    """Each user's sum per 10 s of event time; final sums go out as JSON when a window closes."""
    app = make_app(work, "window-sum")
    events = app.topic(EVENTS.topic, key=str, value=Event)
    sums = app.topic(f"sums-{work.number}", key=str, value=Sum)
    totals = app.Table("totals", key=str, value=int, default=int).tumbling(WINDOW, grace=GRACE)

    @app.agent(events)
    async def add_up(stream: mp.Stream[Event]) -> None:
        async for event in stream:
            totals[event.user] += event.amount

    @app.agent(totals.closed)
    async def publish(stream: mp.Stream[mp.Window[str, int]]) -> None:
        async for window in stream:
            await sums.send(key=window.key, value=Sum(window.key, window.start, window.value))

    return app


async def run(app: mp.App, work: Work) -> Measured:
    """Let an app process everything."""
    async with app.run() as engine:
        meter = Meter().start()
        await engine.settle()
        measured = meter.stop(work.count)
        assert processed(engine) == work.count
    return measured


def processed(engine: Engine) -> int:
    """Return how many offsets of its input the app has committed."""
    return sum(sum(runner.positions().values()) for runner in engine.runners)
