"""A commit takes its time: events go on meanwhile, and a failure waits for it before the way back."""

from typing import Any, Self

import anyio
import millpond as mp
import pytest
from millpond.streams.testing import AppTest

pytestmark = pytest.mark.anyio


class HeldProducer:
    """A task's real producer, whose commits wait until they are let go, at the latest at the end."""

    def __init__(self, t: AppTest) -> None:
        [runner] = t.engine.runners
        self.begun = 0
        self.let_go = anyio.Event()
        self._real = runner._commits._producer
        runner._commits._producer = self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go.set()

    async def commit(self, *records: Any, **rest: Any) -> Any:
        self.begun += 1
        await self.let_go.wait()
        return await self._real.commit(*records, **rest)


def counting_app(seen: list[int]) -> tuple[mp.App, mp.Topic[str, int], mp.Table[str, int]]:
    """Make an app that adds up, and fails once on the number 2."""
    app = mp.App("shop")
    orders = app.topic("orders", key=str, value=int)
    totals = app.Table("totals", key=str, value=int, default=int)

    @app.agent(orders, on_error=mp.Retry(1))
    async def add(stream: mp.Stream[int]) -> None:
        async for order in stream:
            seen.append(order)
            totals["all"] += order
            if order == 2 and seen.count(2) == 1:
                raise ValueError("not yet")

    return app, orders, totals


async def begin_to_commit(t: AppTest, orders: mp.Topic[str, int], held: HeldProducer) -> None:
    await t.send(orders, 1)
    t.engine.runners[0].commit_soon()
    await anyio.wait_all_tasks_blocked()
    assert held.begun == 1


async def test_events_are_processed_while_a_commit_is_under_way() -> None:
    seen: list[int] = []
    app, orders, totals = counting_app(seen)
    async with app.test() as t:
        with HeldProducer(t) as held:
            await begin_to_commit(t, orders, held)
            await t.send(orders, 5)
            t.engine.runners[0].commit_soon()
            await anyio.wait_all_tasks_blocked()
            assert (seen, held.begun) == ([1, 5], 1), "one commit at a time, and work beside it"
            held.let_go.set()
            await t.settle()
            assert (totals.view()["all"], held.begun) == (6, 2)
            await t.crash()
            await t.send(orders, 10)
            await t.settle()
            assert (seen, totals.view()["all"]) == ([1, 5, 10], 16)


async def test_a_failure_meanwhile_takes_back_what_the_commit_does_not_have() -> None:
    seen: list[int] = []
    app, orders, totals = counting_app(seen)
    async with app.test() as t:
        with HeldProducer(t) as held:
            await begin_to_commit(t, orders, held)
            await t.send(orders, 2)
            await anyio.wait_all_tasks_blocked()
            assert seen == [1, 2], "what comes again waits for the commit, to know from where"
            held.let_go.set()
            await t.settle()
            assert (seen, totals.view()["all"]) == ([1, 2, 2], 3)
