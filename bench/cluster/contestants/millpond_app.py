"""The pipelines in Millpond, run by `millpond worker …:app --log kafka://…`, exactly once, with default settings.

The same apps as `bench/pipelines.py`; names come from the environment, since workers are processes.
"""

import os
from datetime import timedelta

import millpond as mp
from millpond.bench.events import AMOUNT_MAX, Event
from millpond.bench.pipelines import GRACE, WINDOW, Sum

PIPELINE, NAME, SOURCE, SINK = (
    f"MILLPOND_BENCH_{name}" for name in ("PIPELINE", "NAME", "SOURCE", "SINK")
)
GROUPS = {"stateless": ["pick"], "count": ["add_up"], "window-sum": ["add_up"]}


def make_app(pipeline: str, name: str, source: str, sink: str) -> mp.App:
    app = mp.App(name, settings=mp.Settings(shutdown_timeout=timedelta(seconds=5)))
    events = app.topic(source, key=str, value=Event)
    if pipeline == "stateless":
        small = app.topic(sink, key=str, value=Event)

        @app.agent(events)
        async def pick(stream: mp.Stream[Event]) -> None:
            async for event in stream:
                if event.amount < AMOUNT_MAX:
                    await small.send(key=event.user, value=event)

    elif pipeline == "count":
        counts = app.Table("counts", key=str, value=int, default=int)

        @app.agent(events)
        async def add_up(stream: mp.Stream[Event]) -> None:
            async for event in stream:
                counts[event.user] += 1

    else:
        add_window_sum(app, events, app.topic(sink, key=str, value=Sum))
    return app


def add_window_sum(app: mp.App, events: mp.Topic[str, Event], sums: mp.Topic[str, Sum]) -> None:
    totals = app.Table("totals", key=str, value=int, default=int).tumbling(WINDOW, grace=GRACE)

    @app.agent(events)
    async def add_up(stream: mp.Stream[Event]) -> None:
        async for event in stream:
            totals[event.user] += event.amount

    @app.agent(totals.closed)
    async def publish(stream: mp.Stream[mp.Window[str, int]]) -> None:
        async for window in stream:
            await sums.send(key=window.key, value=Sum(window.key, window.start, window.value))


if NAME in os.environ:
    app = make_app(*(os.environ[variable] for variable in (PIPELINE, NAME, SOURCE, SINK)))
