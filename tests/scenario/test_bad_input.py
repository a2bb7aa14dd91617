"""Whatever a user or the world gets wrong: an error that says where and what to do, and no loss."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from weakref import ref

import millpond as mp
import pytest
from millpond.log.interface import Log
from millpond.log.model import NewRecord, TopicPartition

pytestmark = pytest.mark.anyio

ORDERS = TopicPartition("orders", 0)
GOOD = NewRecord(b"1", b"10", 1000)
BAD = {
    "key": NewRecord(b"one", b"20", 1000),
    "value": NewRecord(b"1", b"twenty", 1000),
    "timestamp": NewRecord(b"1", b"-20", 1000),
}
HEADERS = [("trace", b"7")]


async def append(log: Log, *records: NewRecord) -> None:
    """Append as a foreign program would."""
    producer = await log.producer()
    await producer.append({ORDERS: records})


def reading(policy: mp.Stop | mp.Skip | mp.DeadLetter | mp.Retry) -> tuple[mp.App, mp.Table]:
    """Make an app that sums up orders, whose event time is their amount in seconds."""
    app = mp.App("shop")
    orders = app.topic(
        "orders",
        key=int,
        value=int,
        timestamp=lambda amount: timedelta(seconds=amount),
        on_decode_error=policy,
    )
    sums = app.Table("sums", key=int, value=int, default=int)

    @app.agent(orders)
    async def add(stream: mp.Stream[int]) -> None:
        async for order in stream.events():
            sums[order.key] += order.value

    return app, sums


@pytest.mark.parametrize("part", BAD)
async def test_what_does_not_decode_stops_the_app_and_stays_in_the_log(part: str) -> None:
    app, _ = reading(mp.Stop())

    async def run() -> None:
        async with app.test() as t:
            await append(t.engine.log, GOOD, BAD[part], GOOD)
            await t.settle()

    with pytest.raises(mp.DecodeFailed) as caught:
        await run()
    error = caught.value
    assert (error.partition, error.offset, error.part) == (ORDERS, 1, part)
    assert str(error).startswith(f"orders-0 at offset 1: the {part} can't be read as ")
    assert "mp.Skip()" in str(error)


@pytest.mark.parametrize("policy", [mp.Skip(), mp.Retry(5).then(mp.Skip())], ids=["skip", "retry"])
@pytest.mark.parametrize("part", BAD)
async def test_what_does_not_decode_is_skipped(part: str, policy: mp.Skip | mp.Retry) -> None:
    app, sums = reading(policy)
    async with app.test() as t:
        await append(t.engine.log, BAD[part], GOOD, BAD[part], BAD[part], GOOD, BAD[part])
        await t.settle()
        assert dict(sums.view().items()) == {1: 20}
        assert sum(t.engine.metrics.passed.values()) == 4
        await t.crash()
        await t.settle()
        assert dict(sums.view().items()) == {1: 20}


@pytest.mark.parametrize("part", BAD)
async def test_what_does_not_decode_becomes_a_dead_letter_once(part: str) -> None:
    app, sums = reading(mp.DeadLetter("refused"))
    bad = BAD[part]._replace(headers=HEADERS)
    async with app.test() as t:
        await append(t.engine.log, GOOD, bad, GOOD, bad)
        await t.settle()
        await t.crash()
        await t.settle()
        assert dict(sums.view().items()) == {1: 20}
        letters = await t.records("refused")
    assert [(one.key, one.value) for one in letters] == [(bad.key, bad.value)] * 2
    headers = dict(letters[1].headers)
    assert headers["trace"] == b"7"
    assert headers["millpond.topic"] == b"orders"
    assert headers["millpond.partition"] == b"0"
    assert headers["millpond.offset"] == b"3"
    assert headers["millpond.error-type"] == b"millpond.streams.errors.DecodeFailed"
    assert f"the {part} can't be read".encode() in (headers["millpond.error"] or b"")


async def test_a_record_without_a_value_has_no_time_but_its_own() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int, timestamp=lambda amount: timedelta(seconds=amount))
    seen: list[tuple[int | None, int]] = []

    @app.agent(orders)
    async def look(stream: mp.Stream[int]) -> None:
        async for order in stream.events():
            seen.append((order.value, order.timestamp))

    async with app.test() as t:
        await append(t.engine.log, GOOD, NewRecord(None, None, 77))
        await t.settle()
    assert seen == [(10, 10_000), (None, 77)]


@pytest.mark.parametrize("part", ["key", "value"])
@pytest.mark.parametrize("policy", [mp.Skip(), mp.Stop()], ids=["skip", "stop"])
async def test_a_global_table_heeds_its_topics_policy(part: str, policy: mp.Skip | mp.Stop) -> None:
    app = mp.App("shop")
    orders = app.topic("orders", key=int, value=int, on_decode_error=policy)
    table = app.GlobalTable("by-number", topic=orders)

    async def run() -> dict[int, int]:
        async with app.test() as t:
            await append(t.engine.log, BAD[part], GOOD)
            await t.settle()
            await t.restart()
            return dict(table.items())

    if policy == mp.Skip():
        assert await run() == {1: 10}
    else:
        with pytest.raises(mp.DecodeFailed, match=f"orders-0 at offset 0: the {part} can't be"):
            await run()


# What agents do wrong.


def one_agent(function: Callable[[mp.Stream[int]], Awaitable[None]], **options: object) -> mp.App:
    app = mp.App("shop")
    app.agent(app.topic("orders", value=int), name="agent", **options)(function)
    return app


async def failure_of(app: mp.App, *orders: int) -> str:
    """Run the app on some orders, on which it must fail; return what it says."""

    async def run() -> None:
        async with app.test() as t:
            for order in orders:
                await t.send(app._topics["orders"], order)
            await t.settle()

    with pytest.raises(mp.AgentFailed) as caught:
        await run()
    return str(caught.value)


async def test_an_agent_must_not_return() -> None:
    async def agent(stream: mp.Stream[int]) -> None:
        async for _ in stream:
            break

    message = await failure_of(one_agent(agent), 1, 2)
    assert "'agent' failed on orders-0 at offset 0: StreamError: it returned" in message


async def test_an_agent_must_not_begin_a_second_loop() -> None:
    async def agent(stream: mp.Stream[int]) -> None:
        async for _ in stream:
            break
        async for _ in stream:
            pass

    message = await failure_of(one_agent(agent), 1, 2)
    assert "offset 0: StreamError: its stream is iterated a second time" in message


async def test_an_agent_may_fail_before_its_first_event() -> None:
    async def agent(stream: mp.Stream[int]) -> None:
        raise RuntimeError("no database")

    message = await failure_of(one_agent(agent, on_error=mp.Skip()))
    assert message == "agent 'agent' failed before its first event: RuntimeError: no database"


async def test_no_event_is_passed_over_for_a_mistake_in_the_code() -> None:
    async def agent(stream: mp.Stream[int]) -> None:
        async for _ in stream:
            return

    for policy in (mp.Skip(), mp.Retry(1).then(mp.DeadLetter("refused"))):
        message = await failure_of(one_agent(agent, on_error=policy), 1)
        assert "it returned" in message
        assert "on_error=" not in message, "no policy would help"


async def test_a_table_that_the_code_does_not_show_must_be_named() -> None:
    def app_with(named: bool) -> tuple[mp.App, mp.Table]:
        app = mp.App("shop")
        totals = app.Table("totals", key=str, value=int, default=int)
        hidden = ref(totals)

        async def agent(stream: mp.Stream[int]) -> None:
            async for order in stream:
                hidden()["all"] += order

        app.agent(app.topic("orders", value=int), tables=[totals] if named else [])(agent)
        return app, totals

    app, _ = app_with(named=False)
    message = await failure_of(app, 1)
    assert "agent 'agent' uses table 'totals', which could not be seen in its code" in message
    assert "@app.agent(orders, tables=[totals])" in message

    app, totals = app_with(named=True)
    async with app.test() as t:
        await t.send(app._topics["orders"], 5)
        await t.settle()
        assert totals.view()["all"] == 5


async def test_a_table_is_of_no_use_outside_an_agent() -> None:
    app, sums = reading(mp.Stop())
    async with app.test():
        for use in (
            lambda: sums[1],
            lambda: sums.get(1),
            lambda: 1 in sums,
            lambda: sums.__setitem__(1, 1),
            lambda: sums.__delitem__(1),
            lambda: list(sums.items()),
        ):
            with pytest.raises(mp.StreamError, match=r"outside an agent.*`sums\.view\(\)`"):
                use()


async def test_a_table_that_no_agent_uses_holds_nothing() -> None:
    app, _ = reading(mp.Stop())
    unused = app.Table("unused", key=str, value=int)
    async with app.test():
        with pytest.raises(mp.StreamError, match="no agent of the app uses table 'unused'"):
            unused.view()


async def test_another_apps_topic_is_no_place_to_send_to() -> None:
    theirs = mp.App("other").topic("theirs", value=int)

    async def agent(stream: mp.Stream[int]) -> None:
        async for order in stream:
            await theirs.send(value=order)

    assert "'theirs' is not one of this app's topics" in await failure_of(one_agent(agent), 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"value": "ten"}, "expected int, got 'ten' (str)"),
        ({"value": 1, "key": 5}, "expected bytes"),
        ({"value": 1, "partition": 7}, "has 1 partitions, counted from 0, so there is no"),
        ({"value": 1, "partition": -1}, "there is no partition -1"),
        ({"value": 1, "timestamp": 1.5}, "a time is a datetime"),
        ({"value": 1, "timestamp": -1}, "before 1970"),
    ],
    ids=["value", "key", "partition", "negative partition", "float time", "negative time"],
)
async def test_what_can_not_be_sent_is_refused_at_once(
    arguments: dict[str, object], message: str
) -> None:
    app = mp.App("shop")
    out = app.topic("out", value=int)

    async def agent(stream: mp.Stream[int]) -> None:
        async for _ in stream:
            await out.send(**arguments)

    app.agent(app.topic("orders", value=int))(agent)
    assert message in await failure_of(app, 1)
    async with app.test():
        with pytest.raises((TypeError, ValueError)) as caught:
            await out.send(**arguments)
    assert message in str(caught.value)


async def test_a_value_that_does_not_fit_its_table_is_named_at_the_commit() -> None:
    app = mp.App("shop")
    orders = app.topic("orders", value=int)
    totals = app.Table("totals", key=str, value=int)

    @app.agent(orders)
    async def add(stream: mp.Stream[int]) -> None:
        async for order in stream:
            totals["all"] = str(order)

    async def run() -> None:
        async with app.test() as t:
            await t.send(orders, 1)
            await t.settle()

    with pytest.raises(mp.StateError, match=r"'totals'.*'all'.*'1'"):
        await run()
