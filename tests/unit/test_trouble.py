"""What failed is known again when it comes again, and set apart from what did not fail."""

import copy
from types import SimpleNamespace
from typing import Any

import millpond as mp
import pytest
from millpond.log.model import TopicPartition
from millpond.streams.agent import Agent
from millpond.streams.engine.run import Run
from millpond.streams.engine.trouble import Troubles
from millpond.streams.policy import Policy, RetryAfter, SendToDeadLetter, SkipIt, StopIt
from millpond.tests.unit.test_inputs import Stored

APP = mp.App("shop")
ORDERS = APP.topic("orders", value=int)


async def consume(stream: mp.Stream) -> None:
    async for _ in stream:
        pass


def an_agent(name: str, policy: Policy) -> Agent:
    return Agent(name, consume, ORDERS, mp.Flow(), policy)


def a_run(*offsets: int, partition: int = 0) -> Run:
    return Run(
        source=ORDERS,
        partition=TopicPartition("orders", partition),
        records=[Stored(offset, b"0") for offset in offsets],
        values=list(offsets),
        timestamps=list(offsets),
        stream_times=list(offsets),
        stream_time_before=0,
        next_offset=offsets[-1] + 1,
    )


def fail(
    troubles: Troubles,
    agent: Agent,
    run: Run,
    index: int = 0,
    *,
    batch: bool = False,
    failure: Exception | None = None,
) -> Any:
    """Let an agent fail on an event of a run, or on all of it; return the decision."""
    instance: Any = SimpleNamespace(
        agent=agent,
        run=run,
        index=-1 if batch else index,
        batch=object() if batch else None,
        failure=failure or ValueError("no"),
    )
    return troubles.failed(instance, 0, 0.0).decision


def pieces(troubles: Troubles, run: Run) -> list[tuple[list[int], dict[str, int]]]:
    """Return how a run is cut up, and in each piece which agents have a verdict, of what attempt."""
    found = []
    rest: Run | None = run
    while rest is not None:
        run = rest
        rest, verdicts = troubles.trim(run)
        found.append((run.values, {agent.name: v.attempts for agent, v in verdicts.items()}))
    return found


def test_an_event_that_failed_is_set_apart() -> None:
    troubles, agent = Troubles(), an_agent("one", mp.Retry(3))
    assert isinstance(fail(troubles, agent, a_run(3, 4, 7, 8), 2), RetryAfter)
    assert pieces(troubles, a_run(3, 4, 7, 8, 9)) == [([3, 4], {}), ([7], {"one": 1}), ([8, 9], {})]


def test_attempts_are_counted_for_each_event() -> None:
    troubles, agent = Troubles(), an_agent("one", mp.Retry(2).then(mp.Skip()))
    decisions = [fail(troubles, agent, a_run(7)) for _ in range(3)]
    assert [type(decision) for decision in decisions] == [RetryAfter, RetryAfter, SkipIt]
    assert isinstance(fail(troubles, agent, a_run(8)), RetryAfter)


def test_other_partitions_are_not_concerned() -> None:
    troubles = Troubles()
    fail(troubles, an_agent("one", mp.Skip()), a_run(7))
    assert pieces(troubles, a_run(6, 7, 8, partition=1)) == [([6, 7, 8], {})]


def test_two_agents_that_failed_on_one_event_are_both_remembered() -> None:
    troubles = Troubles()
    one, two = an_agent("one", mp.Skip()), an_agent("two", mp.Retry(3))
    fail(troubles, one, a_run(7))
    fail(troubles, two, a_run(7))
    fail(troubles, two, a_run(7))
    assert pieces(troubles, a_run(6, 7, 8)) == [([6], {}), ([7], {"one": 1, "two": 2}), ([8], {})]


def test_units_that_overlap_are_cut_where_either_begins() -> None:
    troubles = Troubles()
    fail(troubles, an_agent("batches", mp.Retry(3)), a_run(1, 2, 3, 4), batch=True)
    fail(troubles, an_agent("one", mp.Skip()), a_run(3))
    assert pieces(troubles, a_run(0, 1, 2, 3, 4, 5)) == [
        ([0], {}),
        ([1, 2], {"batches": 1}),
        ([3], {"batches": 1, "one": 1}),
        ([4], {"batches": 1}),
        ([5], {}),
    ]


def test_a_hopeless_batch_is_tried_event_by_event() -> None:
    policy = mp.Retry(1).then(mp.DeadLetter("refused"))
    troubles, agent, batch = Troubles(), an_agent("one", policy), a_run(1, 2, 3)
    assert isinstance(fail(troubles, agent, batch, batch=True), RetryAfter)
    assert pieces(copy.deepcopy(troubles), a_run(1, 2, 3, 4))[0] == ([1, 2, 3], {"one": 1})
    assert isinstance(fail(troubles, agent, batch, batch=True), RetryAfter)
    assert isinstance(fail(troubles, agent, a_run(1), batch=True), SendToDeadLetter)
    assert pieces(troubles, a_run(1, 2, 3, 4)) == [
        ([1], {"one": 3}),
        ([2], {"one": 0}),
        ([3], {"one": 0}),
        ([4], {}),
    ]


def test_what_compaction_has_taken_away_is_not_waited_for() -> None:
    troubles = Troubles()
    fail(troubles, an_agent("one", mp.Skip()), a_run(7))
    assert pieces(troubles, a_run(6, 8, 9)) == [([6], {}), ([8, 9], {})]
    assert troubles.main == {}


@pytest.mark.parametrize("policy", [mp.Skip(), mp.Retry(3), mp.DeadLetter("refused")], ids=repr)
def test_wrong_code_stops_whatever_the_policy(policy: Policy) -> None:
    decision = fail(
        Troubles(), an_agent("one", policy), a_run(7), failure=mp.StreamError("it returned")
    )
    assert isinstance(decision, StopIt)


def test_a_key_that_does_not_decode_is_the_topics_affair() -> None:
    topic = APP.topic("keyed", key=int, on_decode_error=mp.Retry(5).then(mp.Skip()))
    agent = Agent("one", consume, topic, mp.Flow(), mp.Stop())
    failure = mp.DecodeFailed(TopicPartition("keyed", 0), 7, "key", b"x", "int", ValueError("no"))
    assert isinstance(fail(Troubles(), agent, a_run(7), failure=failure), SkipIt)
