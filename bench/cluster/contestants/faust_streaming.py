"""The pipelines in faust-streaming: tables in RocksDB, a commit each second.

Runs in its own environment: ``python faust_streaming.py PIPELINE ADDRESS INPUT OUTPUT GROUP DIRECTORY COUNT``.
"""

import os
import sys

import faust

WINDOW_S, GRACE_S, AMOUNT_MAX = 10.0, 2.0, 50


class Event(faust.Record, serializer="json"):
    """What happened: a payment."""

    id: int
    user: str
    amount: int
    currency: str
    shop: str
    at: int


class Sum(faust.Record, serializer="json"):
    """The sum of a user's amounts in a window."""

    user: str
    start: int
    total: int


def main(
    pipeline: str, address: str, source: str, sink: str, group: str, directory: str, _count: str
) -> None:
    app = faust.App(
        group,
        broker=f"kafka://{address}",
        store="rocksdb://?driver=rocksdict",
        datadir=directory,
        processing_guarantee=os.environ.get("FAUST_GUARANTEE", "exactly_once"),
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        topic_partitions=1,
        topic_disable_leader=True,
        web_enabled=False,
    )
    events = app.topic(source, key_type=str, value_type=Event)
    out = app.topic(sink, key_type=str, value_type=Sum if pipeline == "window-sum" else Event)
    {"stateless": stateless, "count": count, "window-sum": window_sum}[pipeline](app, events, out)
    faust.Worker(app, loglevel="warn", quiet=True).execute_from_commandline()


def stateless(app, events, out):
    @app.agent(events)
    async def pick(stream):
        async for event in stream:
            if event.amount < AMOUNT_MAX:
                await out.send(key=event.user, value=event)


def count(app, events, _out):
    counts = app.Table("counts", key_type=str, value_type=int, default=int)

    @app.agent(events)
    async def add_up(stream):
        async for event in stream:
            counts[event.user] += 1


def window_sum(app, events, out):
    async def publish(key, total):
        user, (start, _end) = key
        await out.send(key=user, value=Sum(user, int(start * 1000), total))

    # Faust takes event time from the record's timestamp; its windows close by the wall clock.
    totals = app.Table("totals", key_type=str, value_type=int, default=int, on_window_close=publish)
    windows = totals.tumbling(WINDOW_S, expires=WINDOW_S + GRACE_S)

    @app.agent(events)
    async def add_up(stream):
        async for event in stream:
            windows[event.user] += event.amount


if __name__ == "__main__":
    main(*sys.argv[1:])
