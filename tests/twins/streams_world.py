"""An app that has one of everything, and what it came to, in the words of `streams.py`.

Clicks are counted in plain tables, one of them behind a `group_by`, and in tumbling and hopping
windows; half of the tables keep lists that are changed in place. Closed windows go to topics, into the
partition that they come from, so that their order can be seen.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import millpond as mp
from millpond.streams.testing import AppTest
from millpond.tests.twins.streams import Click, Late, Windows, by_key, by_remainder, keep

MS = timedelta(milliseconds=1)
PATIENCE = timedelta(seconds=5)
DIVISOR = 3


@dataclass(frozen=True)
class Shape:
    """What must make no difference: how the work is cut up.

    Attributes:
        batch: how many clicks the counting agent takes at a time; None is one by one.
        shared: whether another agent of the same task reads the clicks as well.
    """

    fetch_bytes: int = 1 << 20
    commit_ms: int = 100
    batch: int | None = None
    shared: bool = False


@dataclass(frozen=True)
class World:
    """The app and its parts."""

    app: mp.App
    shape: Shape
    tumbling: Windows
    hopping: Windows
    clicks: mp.Topic[str, int]
    echo: mp.Topic[str, int]
    closed: dict[str, mp.Topic[str, Any]]
    totals_at_close: dict[str, mp.Topic[str, int]]
    totals: mp.Table[str, int]
    lists: mp.Table[str, list[int]]
    remainders: mp.Table[str, int]
    windowed: dict[str, mp.WindowedTable[str, Any]]

    async def check(self, t: AppTest) -> None:
        """Hold everything against the clicks that are in the log. The app must be settled."""
        inputs = await self._clicks(t, self.clicks)
        values = by_key(inputs)
        assert dict(self.lists.view().items()) == values
        assert dict(self.totals.view().items()) == {key: sum(all_) for key, all_ in values.items()}
        assert dict(self.remainders.view().items()) == by_remainder(inputs, DIVISOR)
        assert await self._clicks(t, self.echo) == inputs, "something is missing, or there twice"
        await self._check_windows(t, inputs, "tumbling", self.tumbling, list)
        await self._check_windows(t, inputs, "hopping", self.hopping, sum)
        await self._check_progress(t)

    async def _check_windows(
        self,
        t: AppTest,
        inputs: list[list[Click]],
        name: str,
        windows: Windows,
        fold: Callable[[Iterable[int]], object],
    ) -> None:
        """Compare a windowed table, which keeps `fold` of each window's values."""
        kept = [keep(clicks, windows) for clicks in inputs]
        closed = [
            [(event.timestamp, event.key, event.value) for event in events]
            for events in await self._partitions(t, self.closed[name])
        ]
        assert closed == [
            [(final.start, final.key, fold(final.values)) for final in each.closed] for each in kept
        ]
        if self.shape.batch is None:  # Else windows close behind a batch, and not within it.
            totals = await self._partitions(t, self.totals_at_close[name])
            assert [[event.value for event in events] for events in totals] == [
                [final.total for final in each.closed] for each in kept
            ]
        late = await self._partitions(t, self.windowed[name].late)
        assert [[_late(event) for event in events] for events in late] == [k.late for k in kept]
        still_open = {
            (start, key): value for start, key, value in self.windowed[name].view().items()
        }
        assert still_open == {
            window: fold(values) for each in kept for window, values in each.open.items()
        }

    async def _check_progress(self, t: AppTest) -> None:
        """All that is in the inputs is committed."""
        assert set(t.engine.lag().values()) == {0}
        for group in ("count", "by-remainder"):
            committed = await t.engine.log.committed_offsets(f"{self.app.name}.{group}")
            ends = await t.engine.log.end_offsets(committed)
            assert {partition: at.offset for partition, at in committed.items()} == ends

    async def _clicks(self, t: AppTest, topic: mp.Topic[str, int]) -> list[list[Click]]:
        return [
            [Click(event.key, event.value, event.timestamp) for event in events]
            for events in await self._partitions(t, topic)
        ]

    async def _partitions(self, t: AppTest, topic: mp.Topic[Any, Any]) -> list[list[mp.Event[Any]]]:
        partitions: list[list[mp.Event[Any]]] = [[] for _ in range(self.app.settings.partitions)]
        for event in await t.records(topic):
            partitions[event.partition.partition].append(event)
        return partitions


def _late(event: mp.Event[int]) -> Late:
    headers = dict(event.headers)
    return Late(
        Click(event.key, event.value, event.timestamp),
        int(headers["millpond.late.window-start"] or b""),
        int(headers["millpond.late.by-ms"] or b""),
    )


def make_world(
    partitions: int, tumbling: Windows, hopping: Windows, shape: Shape = Shape()
) -> World:
    """Declare the app."""
    settings = mp.Settings(
        partitions=partitions,
        fetch_bytes=shape.fetch_bytes,
        commit_interval=shape.commit_ms * MS,
    )
    app = mp.App("world", settings=settings)
    clicks = app.topic("clicks", key=str, value=int)
    lists = app.Table("in-tumbling", key=str, value=list[int], default=list)
    sums = app.Table("in-hopping", key=str, value=int, default=int)
    world = World(
        app=app,
        shape=shape,
        tumbling=tumbling,
        hopping=hopping,
        clicks=clicks,
        echo=app.topic("echo", key=str, value=int),
        closed={
            "tumbling": app.topic("closed-tumbling", key=str, value=list[int]),
            "hopping": app.topic("closed-hopping", key=str, value=int),
        },
        totals_at_close={
            name: app.topic(f"totals-{name}", key=str, value=int)
            for name in ("tumbling", "hopping")
        },
        totals=app.Table("totals", key=str, value=int, default=int),
        lists=app.Table("lists", key=str, value=list[int], default=list),
        remainders=app.Table("remainders", key=str, value=int, default=int),
        windowed={
            "tumbling": lists.tumbling(
                tumbling.size * MS,
                grace=tumbling.grace * MS,
                late=app.topic("late-tumbling", key=str, value=int),
            ),
            "hopping": sums.hopping(
                hopping.size * MS,
                hopping.step * MS,
                grace=hopping.grace * MS,
                late=app.topic("late-hopping", key=str, value=int),
            ),
        },
    )
    _count(world)
    _publish(world)
    _count_remainders(world)
    return world


def _count(world: World) -> None:
    app, shape, totals, lists = world.app, world.shape, world.totals, world.lists
    tumbling, hopping = world.windowed["tumbling"], world.windowed["hopping"]

    @app.agent(world.clicks)
    async def count(stream: mp.Stream[int]) -> None:
        async for event in _one_by_one(stream, shape.batch):
            totals[event.key] += event.value
            lists[event.key].append(event.value)
            tumbling[event.key].append(event.value)
            hopping[event.key] += event.value
            if not shape.shared:
                await world.echo.send(key=event.key, value=event.value, partition=stream.partition)

    if shape.shared:

        @app.agent(world.clicks, tables=[totals])
        async def echo(stream: mp.Stream[int]) -> None:
            async for event in stream.events():
                await world.echo.send(key=event.key, value=event.value, partition=stream.partition)


async def _one_by_one(
    stream: mp.Stream[int], batch_size: int | None
) -> AsyncIterator[mp.Event[int]]:
    if batch_size is None:
        async for event in stream.events():
            yield event
        return
    async for batch in stream.take(batch_size, within=PATIENCE):
        for event in batch.events():
            yield event


def _publish(world: World) -> None:
    totals = world.totals

    for name, table in world.windowed.items():

        @world.app.agent(table.closed, name=f"publish-{name}")
        async def publish(stream: mp.Stream[Any], name: str = name) -> None:
            async for window in stream:
                await world.totals_at_close[name].send(
                    value=totals[window.key], partition=stream.partition
                )
                await world.closed[name].send(
                    key=window.key,
                    value=window.value,
                    timestamp=window.start,
                    partition=stream.partition,
                )


def _count_remainders(world: World) -> None:
    remainders = world.remainders
    by_remainder = world.clicks.group_by(lambda value: str(value % DIVISOR), name="by-remainder")

    @world.app.agent(by_remainder)
    async def count_remainders(stream: mp.Stream[int]) -> None:
        async for event in stream.events():
            remainders[event.key] += 1
