"""An app in which any loss or repetition shows: each output carries its input's number, and the count of its key.

What it is to be like besides, the environment says, since its workers are processes:
``MILLPOND_TESTS_SETTINGS`` holds a JSON object: session_timeout_ms, standby_replicas, client.
"""

import json
import os
from collections.abc import Iterable, Iterator
from datetime import timedelta

import millpond as mp

SETTINGS = "MILLPOND_TESTS_SETTINGS"
NUMBERS, COUNTED, CHANGELOG = "numbers", "counted", "counting-counts-changelog"
GROUP, TASKS_GROUP = "counting", "counting.count"


def make_app(settings: str) -> mp.App:
    told = json.loads(settings)
    app = mp.App(
        GROUP,
        settings=mp.Settings(
            session_timeout=timedelta(milliseconds=told.get("session_timeout_ms", 10_000)),
            standby_replicas=told.get("standby_replicas", 0),
            client=told.get("client", {}),
            flush_interval=timedelta(seconds=1),
            shutdown_timeout=timedelta(seconds=5),
        ),
    )
    numbers = app.topic(NUMBERS, key=str, value=int)
    counted = app.topic(COUNTED, key=str, value=str)
    counts = app.Table("counts", key=str, value=int, default=int)

    @app.agent(numbers)
    async def count(stream: mp.Stream[int]) -> None:
        async for event in stream.events():
            counts[event.key] += 1
            await counted.send(key=event.key, value=f"{event.value} {counts[event.key]}")

    return app


def outputs_of(inputs: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Work out in plain code what the app writes for one partition of its input."""
    counts: dict[bytes, int] = {}
    for key, number in inputs:
        counts[key] = counts.get(key, 0) + 1
        yield key, b"%s %d" % (number, counts[key])


app = make_app(os.environ.get(SETTINGS, "{}"))
