"""What becomes of an event on which an agent fails, and of what it had done before it failed."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import millpond as mp
import pytest
from millpond.streams.policy import Policy
from millpond.streams.testing import AppTest

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
BAD = 13


@dataclass
class Shop:
    """An app whose agent changes tables and sends, and then fails on some orders.

    Attributes:
        fails: says of an order, and of how often it was tried before, whether it fails.
        tried: how often each order was tried.
    """

    policy: Policy
    fails: Callable[[int, int], bool] = lambda order, tries: order == BAD
    partitions: int = 1
    tried: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.app = mp.App("shop", settings=mp.Settings(partitions=self.partitions))
        self.orders = self.app.topic("orders", key=str, value=int)
        self.out = self.app.topic("out", value=int)
        self.sums = self.app.Table("sums", key=str, value=int, default=int)
        self.seen = self.app.Table("seen", key=str, value=list[int], default=list)
        self.app.agent(self.orders, on_error=self.policy)(self.add)

    async def add(self, stream: mp.Stream[int]) -> None:
        async for order in stream:
            self.sums["all"] += order
            self.seen["all"].append(order)
            await self.out.send(value=order)
            self.tried[order] += 1
            if self.fails(order, self.tried[order] - 1):
                raise ValueError(f"{order} is too much")

    async def come_to(self, t: AppTest, *orders: int) -> None:
        """Check that these orders have had their effects, once, and no others any."""
        assert self.sums.view().get("all", 0) == sum(orders)
        assert self.seen.view().get("all", []) == list(orders)
        assert await values(t, self.out) == list(orders)


async def values(t: AppTest, topic: Any) -> list[Any]:
    return [event.value for event in await t.records(topic)]


async def test_by_default_the_app_stops_and_nothing_of_the_event_is_left() -> None:
    shop = Shop(mp.Stop())

    async def run() -> None:
        async with shop.app.test() as t:
            for order in (1, 2, BAD, 4):
                await t.send(shop.orders, order)
            await t.settle()

    with pytest.raises(mp.AgentFailed) as caught:
        await run()
    assert str(caught.value).startswith(
        "agent 'add' failed on orders-0 at offset 2: ValueError: 13 is too much. The record is not "
        "acknowledged and will be read again after a restart. To go on without it, give the agent "
    )
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("at_once", [True, False], ids=["in one run", "one by one"])
async def test_skip_goes_on_as_if_the_event_had_not_been(at_once: bool) -> None:
    shop = Shop(mp.Skip())
    async with shop.app.test() as t:
        for order in (1, BAD, 2, BAD, BAD, 3):
            await shop.orders.send(value=order)
            if not at_once:
                await t.settle()
        await t.settle()
        await shop.come_to(t, 1, 2, 3)
        assert t.engine.metrics.passed["add"] == 3
        await t.crash()
        await t.settle()
        await shop.come_to(t, 1, 2, 3)


async def test_a_dead_letter_is_the_event_as_it_came_and_what_happened() -> None:
    shop = Shop(mp.DeadLetter("refused"))
    async with shop.app.test() as t:
        await shop.orders.send(value=1)
        await shop.orders.send(key="k", value=BAD, timestamp=7, headers=[("trace", b"9")])
        await shop.orders.send(value=2)
        failed_at = int(t.now.timestamp() * 1000)
        await t.settle()
        await t.crash()
        await t.settle()
        await shop.come_to(t, 1, 2)
        [letter] = await t.records("refused")
    assert (letter.key, letter.value, letter.timestamp) == (b"k", b"13", 7)
    assert dict(letter.headers) == {
        "trace": b"9",
        "millpond.error": b"13 is too much",
        "millpond.error-type": b"ValueError",
        "millpond.agent": b"add",
        "millpond.topic": b"orders",
        "millpond.partition": b"0",
        "millpond.offset": b"1",
        "millpond.attempts": b"1",
        "millpond.failed-at": b"%d" % failed_at,
    }


@pytest.mark.parametrize("heals_after", [1, 2, 3])
async def test_retries_wait_and_leave_no_trace_of_what_failed(heals_after: int) -> None:
    shop = Shop(
        mp.Retry(3, backoff=(1, 60)).then(mp.DeadLetter("refused")),
        fails=lambda order, tries: order == BAD and tries < heals_after,
    )
    async with shop.app.test() as t:
        begin = t.now
        for order in (1, BAD, 2):
            await shop.orders.send(value=order)
        await t.settle()
        await shop.come_to(t, 1, BAD, 2)
        assert await values(t, "refused") == []
        waits = [SECOND, 2 * SECOND, 4 * SECOND][:heals_after]
        waited = t.now - begin
        assert (
            sum(waits, timedelta(0)) / 2 <= waited <= sum(waits, timedelta(0)) + 3 * SECOND / 1000
        )
    assert shop.tried[BAD] == heals_after + 1
    assert shop.tried[2] <= 2, "what comes after it is tried again at most once"


@pytest.mark.parametrize(
    ("last", "letters"), [(mp.DeadLetter("refused"), [b"13"]), (mp.Skip(), [])], ids=repr
)
async def test_when_all_tries_have_failed_the_last_resort_is_taken(
    last: Policy, letters: list[bytes]
) -> None:
    shop = Shop(mp.Retry(2).then(last))
    refused = shop.app.topic("refused")
    async with shop.app.test() as t:
        for order in (1, BAD, 2):
            await shop.orders.send(value=order)
        await t.settle()
        await shop.come_to(t, 1, 2)
        assert await values(t, refused) == letters
    assert shop.tried[BAD] == 3


async def test_retry_stops_when_all_tries_have_failed() -> None:
    shop = Shop(mp.Retry(2))

    async def run() -> None:
        async with shop.app.test() as t:
            await t.send(shop.orders, BAD)
            await t.settle()

    with pytest.raises(mp.AgentFailed, match="offset 0: ValueError"):
        await run()
    assert shop.tried[BAD] == 3


async def test_many_events_fail_each_in_its_own_way() -> None:
    def fails(order: int, tries: int) -> bool:
        return order % 5 == 0 or (order % 7 == 0 and tries == 0)

    shop = Shop(mp.Retry(1).then(mp.DeadLetter("refused")), fails=fails)
    async with shop.app.test() as t:
        for order in range(30):
            await shop.orders.send(value=order)
        await t.settle()
        await shop.come_to(t, *[order for order in range(30) if order % 5])
        assert await values(t, "refused") == [b"%d" % order for order in range(0, 30, 5)]


async def test_a_crash_while_waiting_for_a_retry_starts_the_tries_again() -> None:
    shop = Shop(mp.Retry(3, backoff=(10, 10)).then(mp.DeadLetter("refused")))
    async with shop.app.test() as t:
        for order in (1, BAD, 2):
            await shop.orders.send(value=order)
        await t.advance(SECOND)
        assert shop.tried[BAD] >= 1
        await t.crash()
        await t.settle()
        await shop.come_to(t, 1, 2)
        assert await values(t, "refused") == [b"13"]


async def test_a_failure_in_one_partition_concerns_no_other() -> None:
    shop = Shop(mp.Retry(3, backoff=(10, 10)).then(mp.Skip()), partitions=2)
    async with shop.app.test() as t:
        await shop.orders.send(value=BAD, partition=0)
        for order in (1, 2):
            await shop.orders.send(value=order, partition=1)
        await app_works(t)
        assert await values(t, shop.out) == [1, 2]
        await t.settle()
        assert await values(t, shop.out) == [1, 2]
        assert shop.tried[BAD] == 4


async def app_works(t: AppTest) -> None:
    """Let the app do what it can at this moment, without time passing."""
    await t.advance(timedelta(milliseconds=200))


async def test_another_agents_share_of_the_event_is_kept() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int)
    sums = app.Table("sums", key=str, value=int, default=int)

    @app.agent(orders)
    async def before(stream: mp.Stream[int]) -> None:
        async for order in stream:
            sums["before"] += order

    @app.agent(orders, on_error=mp.Retry(1).then(mp.Skip()))
    async def failing(stream: mp.Stream[int]) -> None:
        async for order in stream:
            sums["failing"] += order
            if order == BAD:
                raise ValueError(order)

    @app.agent(orders)
    async def after(stream: mp.Stream[int]) -> None:
        async for order in stream:
            sums["after"] += order

    async with app.test() as t:
        for order in (1, BAD, 2):
            await orders.send(value=order)
        await t.settle()
        assert dict(sums.view().items()) == {
            "before": 3 + BAD,
            "failing": 3,
            "after": 3 + BAD,
        }


@pytest.mark.parametrize("policy", [mp.Skip(), mp.DeadLetter("refused")], ids=repr)
async def test_a_window_on_which_an_agent_fails_is_given_up_alone(policy: Policy) -> None:
    app = mp.App("shop")
    orders = app.topic("orders", key=str, value=int)
    out = app.topic("out", key=str, value=int)
    refused = app.topic("refused")
    sums = app.Table("sums", key=str, value=int, default=int)
    per_window = sums.tumbling(10 * SECOND, grace=timedelta(0))

    @app.agent(orders)
    async def add(stream: mp.Stream[int]) -> None:
        async for event in stream.events():
            per_window[event.key] += event.value

    @app.agent(per_window.closed, on_error=mp.Retry(2).then(policy))
    async def publish(stream: mp.Stream[mp.Window[str, int]]) -> None:
        async for window in stream:
            await out.send(key=window.key, value=window.value)
            if window.value == BAD:
                raise ValueError(window.value)

    async with app.test() as t:
        for key, value, second in (
            ("a", 1, 0),
            ("b", BAD, 0),
            ("c", 3, 0),
            ("b", 4, 10),
            ("a", 5, 20),
        ):
            await orders.send(key=key, value=value, timestamp=second * SECOND)
        await t.settle()
        await t.crash()
        await t.settle()
        assert await values(t, out) == [1, 3, 4]
        letters = [(event.key, event.value) for event in await t.records(refused)]
        assert letters == ([] if policy == mp.Skip() else [(b"b", b"13")])
        assert list(per_window.view().items()) == [(20_000, "a", 5)]


async def test_an_update_on_which_an_agent_fails_is_given_up_alone() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", key=str, value=int)
    out = app.topic("out", key=str, value=int)
    sums = app.Table("sums", key=str, value=int, default=int)
    per_window = sums.tumbling(10 * SECOND, grace=timedelta(0))

    @app.agent(orders)
    async def add(stream: mp.Stream[int]) -> None:
        async for event in stream.events():
            per_window[event.key] += event.value

    @app.agent(per_window.updates, on_error=mp.Retry(1).then(mp.DeadLetter("refused")))
    async def publish(stream: mp.Stream[mp.Window[str, int]]) -> None:
        async for window in stream:
            if window.value == BAD:
                raise ValueError(window.value)
            await out.send(key=window.key, value=window.value)

    async with app.test() as t:
        for value in (6, 7, 1):
            await orders.send(key="a", value=value, timestamp=0)
        await t.settle()
        assert await values(t, out) == [6, 14]
        assert await values(t, "refused") == [b"13"]


async def test_windows_in_a_batch_that_fails_are_given_up_one_by_one() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", key=str, value=int)
    out = app.topic("out", key=str, value=int)
    counts = app.Table("counts", key=str, value=int, default=int)
    per_window = counts.tumbling(timedelta(seconds=10), grace=timedelta(0))

    @app.agent(orders)
    async def count(stream: mp.Stream[int]) -> None:
        async for event in stream.events():
            per_window[event.key] += 1

    policy = mp.Retry(2).then(mp.DeadLetter("refused"))

    @app.agent(per_window.closed, on_error=policy)
    async def publish(stream: mp.Stream[mp.Window[str, int]]) -> None:
        async for batch in stream.take(5, within=HOUR):
            for window in batch:
                await out.send(key=window.key, value=window.start)
                if window.value == 2:
                    raise ValueError("two is too many")

    async with app.test() as t:
        for second in (0, 10, 10, 20, 30, 40, 50, 60):
            await orders.send(key="k", value=1, timestamp=timedelta(seconds=second))
        await t.settle()
        written = [event.value for event in await t.records(out)]
        [refused] = await t.records("refused")
    assert written == [0, 20_000, 30_000, 40_000, 50_000]
    assert (refused.key, refused.value, refused.timestamp) == (b"k", b"2", 19_999)
    headers = dict(refused.headers)
    assert headers["millpond.error"] == b"two is too many"
    assert headers["millpond.attempts"] == b"3"


async def test_two_agents_fail_on_the_same_event() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int)
    sums = app.Table("sums", key=str, value=int, default=int)

    def add_failing(name: str, policy: Policy) -> None:
        @app.agent(orders, name=name, on_error=policy)
        async def failing(stream: mp.Stream[int]) -> None:
            async for order in stream:
                sums[name] += order
                if order == BAD:
                    raise ValueError(order)

    add_failing("skips", mp.Retry(2).then(mp.Skip()))
    add_failing("refuses", mp.Retry(1).then(mp.DeadLetter("refused")))
    async with app.test() as t:
        for order in (1, BAD, BAD, 2):
            await orders.send(value=order)
        await t.settle()
        assert dict(sums.view().items()) == {"skips": 3, "refuses": 3}
        assert await values(t, "refused") == [b"13", b"13"]


@pytest.mark.parametrize("others_batch", [None, 10], ids=["one by one", "in batches"])
async def test_a_window_that_one_agent_gives_up_is_not_lost_to_another(
    others_batch: int | None,
) -> None:
    app = mp.App("shop")
    orders = app.topic("orders", key=str, value=int)
    out = app.topic("out", key=str, value=int)
    sums = app.Table("sums", key=str, value=int, default=int)
    per_window = sums.tumbling(10 * SECOND, grace=timedelta(0))

    @app.agent(orders)
    async def add(stream: mp.Stream[int]) -> None:
        async for event in stream.events():
            per_window[event.key] += event.value

    @app.agent(per_window.closed, on_error=mp.DeadLetter("refused"))
    async def failing(stream: mp.Stream[mp.Window[str, int]]) -> None:
        async for window in stream:
            if window.value == BAD:
                raise ValueError(window.value)

    @app.agent(per_window.closed)
    async def publish(stream: mp.Stream[mp.Window[str, int]]) -> None:
        if others_batch is None:
            async for window in stream:
                await out.send(key=window.key, value=window.value)
        else:
            async for batch in stream.take(others_batch, within=HOUR):
                for window in batch:
                    await out.send(key=window.key, value=window.value)

    async with app.test() as t:
        for key, value, second in (("a", 1, 0), ("b", BAD, 0), ("c", 3, 0), ("a", 5, 20)):
            await orders.send(key=key, value=value, timestamp=second * SECOND)
        await t.settle()
        assert await values(t, out) == [1, BAD, 3]
        assert await values(t, "refused") == [b"13"]
