"""Calls that may never return are given up; a commit that the cluster had no time for is made anew."""

import threading
from typing import Any

import anyio
import pytest
from confluent_kafka import KafkaError
from millpond.log.cluster.cluster_log import ClusterLog
from millpond.log.cluster.patience import NotReturned, call_for
from millpond.log.cluster.transactions import Aborted
from millpond.log.errors import Unreachable
from millpond.log.model import TopicPartition, TopicSpec
from millpond.tests.conformance.helpers import new
from millpond.tests.twins.running_broker import RunningBroker

pytestmark = pytest.mark.anyio


async def test_what_a_call_returns_or_raises_comes_back() -> None:
    assert await call_for(60, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await call_for(60, lambda: 1 // 0)


async def test_a_call_that_does_not_return_is_given_up_and_holds_up_no_end() -> None:
    before = threading.active_count()
    never = threading.Event()
    try:
        with pytest.raises(NotReturned, match=r"0\.01 s"):
            await call_for(0.01, never.wait)
        left = [each for each in threading.enumerate() if each.name == "transaction"]
        assert left
        assert all(each.daemon for each in left)
    finally:
        never.set()
    while threading.active_count() > before:  # noqa: ASYNC110 - a thread tells nobody that it ends
        await anyio.sleep(0.001)


async def test_who_is_cancelled_waits_for_what_it_has_called() -> None:
    calling, go_on = anyio.Event(), threading.Event()
    done = []

    def call() -> None:
        assert go_on.wait(60)
        done.append(True)

    async def caller() -> None:
        calling.set()
        await call_for(60, call)

    async with anyio.create_task_group() as group:
        group.start_soon(caller)
        await calling.wait()
        group.cancel_scope.cancel()
        go_on.set()
    assert done


async def test_a_commit_that_was_aborted_because_the_cluster_was_away_is_made_anew() -> None:
    orders = TopicPartition("orders", 0)
    with RunningBroker() as broker:
        async with (
            ClusterLog.open(f"kafka://127.0.0.1:{broker.port}") as log,
            log.membership("shop", lambda told: told) as member,
        ):
            await log.create_topics([TopicSpec("orders", 1)])
            await member.join(b"")
            producer = await log.worker_producer("worker", member)
            carry_out = producer._transactions.carry_out
            away = [Aborted(Unreachable("away"), KafkaError._TIMED_OUT) for _ in range(2)]

            async def try_to_carry_out(*commits: Any) -> None:
                if away:
                    raise away.pop()
                await carry_out(*commits)

            producer._transactions.carry_out = try_to_carry_out  # type: ignore[method-assign]
            appended = await producer.commit({orders: [new(b"one")]}, group="shop.main", offsets={})
            assert appended[orders].next_offset > 0
            assert not away
