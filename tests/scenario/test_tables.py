"""Tables that agents share: who sees what, in which order, and what a crash leaves of it."""

import millpond as mp
import pytest

pytestmark = pytest.mark.anyio

EVENTS = [
    ("a", 5, "a1"),
    ("a", 5, "a2"),
    ("b", 3, "b1"),
    ("b", 5, "b2"),
    ("b", 6, "b3"),
    ("a", 6, "a3"),
]
BY_TIME = ["b1", "a1", "a2", "b2", "a3", "b3"]


def numbering(fetch_bytes: int) -> tuple[mp.App, dict[str, mp.Topic], mp.Topic]:
    """Make an app of two agents on two topics, which number what they see in a shared table."""
    app = mp.App("shop", settings=mp.Settings(fetch_bytes=fetch_bytes))
    topics = {name: app.topic(name, value=str) for name in ("a", "b")}
    out = app.topic("out", value=str)
    seen = app.Table("seen", key=str, value=int, default=int)

    @app.agent(topics["a"])
    async def of_a(stream: mp.Stream[str]) -> None:
        async for event in stream:
            seen["all"] += 1
            await out.send(value=f"{seen['all']} {event}")

    @app.agent(topics["b"])
    async def of_b(stream: mp.Stream[str]) -> None:
        async for event in stream:
            seen["all"] += 1
            await out.send(value=f"{seen['all']} {event}")

    return app, topics, out


@pytest.mark.parametrize("fetch_bytes", [1, 100, 1 << 20])
async def test_two_sources_are_merged_by_time_however_much_is_fetched(fetch_bytes: int) -> None:
    app, topics, out = numbering(fetch_bytes)
    async with app.test() as t:
        for name, time, value in EVENTS:
            await topics[name].send(value=value, timestamp=time)
        await t.settle()
        written = [event.value for event in await t.records(out)]
    assert written == [f"{number} {value}" for number, value in enumerate(BY_TIME, start=1)]
