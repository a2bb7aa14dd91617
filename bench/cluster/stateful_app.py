"""An app with as much state as one likes, whose tasks tell when they run, and in which process.

Each event becomes a value in the table. Those of the key ``beat`` are answered, by a record with the time at
which the task had them in hand: how long a task pauses is the longest time between two of these.
"""

import json
import os
import time
from datetime import timedelta

import millpond as mp

SETTINGS = "MILLPOND_BENCH_REBALANCE"
NAME, EVENTS, BEATS, TASKS_GROUP = "stateful", "stateful-events", "stateful-beats", "stateful.keep"
BEAT = "beat"


def make_app(settings: str) -> mp.App:
    told = json.loads(settings)
    app = mp.App(
        NAME,
        settings=mp.Settings(
            standby_replicas=told.get("standby_replicas", 0),
            session_timeout=timedelta(milliseconds=told.get("session_timeout_ms", 10_000)),
        ),
    )
    events = app.topic(EVENTS, key=str, value=bytes)
    beats = app.topic(BEATS, key=str, value=str)
    kept = app.Table("kept", key=str, value=bytes)
    process = os.getpid()

    @app.agent(events)
    async def keep(stream: mp.Stream[bytes]) -> None:
        async for event in stream.events():
            kept[event.key] = event.value
            if event.key == BEAT:
                at = f"{time.time():.6f} {process}"
                await beats.send(key=BEAT, value=at, partition=event.partition.partition)

    return app


app = make_app(os.environ.get(SETTINGS, "{}"))
