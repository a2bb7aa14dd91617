"""What becomes of a record that fails, told failure by failure."""

from dataclasses import dataclass
from typing import Any

import pytest
from millpond.log.errors import ConfigError
from millpond.log.model import TopicPartition
from millpond.streams.policy import (
    DeadLetter,
    Decision,
    Policy,
    Retry,
    RetryAfter,
    SendToDeadLetter,
    Skip,
    SkipIt,
    Stop,
    StopIt,
    check_policy,
    dead_letter_headers,
    dead_letters,
    decide,
    last_resort,
)


@dataclass(frozen=True)
class FakeTopic:
    name: str


def story(policy: Policy, failures: int, draw: float = 0.0) -> list[Decision]:
    return [decide(policy, attempt, draw) for attempt in range(1, failures + 1)]


def test_by_default_a_failure_stops() -> None:
    assert story(Stop(), 1) == [StopIt()]


def test_skip_and_dead_letter_act_at_once() -> None:
    assert story(Skip(), 1) == [SkipIt()]
    assert story(DeadLetter("dlq"), 1) == [SendToDeadLetter("dlq")]


def test_retry_waits_longer_each_time_and_then_stops() -> None:
    assert story(Retry(4, backoff=(1, 5)), 5) == [
        RetryAfter(1),
        RetryAfter(2),
        RetryAfter(4),
        RetryAfter(5),
        StopIt(),
    ]


def test_retry_then_something_else() -> None:
    topic = FakeTopic("dlq")
    policy = Retry(1, backoff=(1, 1)).then(DeadLetter(topic))
    assert story(policy, 2) == [RetryAfter(1), SendToDeadLetter(topic)]


def test_quick_retries_then_slow_ones_then_skip() -> None:
    policy = Retry(2, backoff=(1, 1)).then(Retry(2, backoff=(60, 600))).then(Skip())
    assert story(policy, 5) == [
        RetryAfter(1),
        RetryAfter(1),
        RetryAfter(60),
        RetryAfter(120),
        SkipIt(),
    ]


def test_jitter_takes_off_at_most_half() -> None:
    policy = Retry(1, backoff=(8, 8))
    assert decide(policy, 1, 0.0) == RetryAfter(8)
    assert decide(policy, 1, 0.5) == RetryAfter(6)
    last = decide(policy, 1, 0.999999)
    assert isinstance(last, RetryAfter)
    assert 4 <= last.seconds < 4.1


def test_endless_retries_never_wait_longer_than_the_longest() -> None:
    policy = Retry(10**6, backoff=(0.2, 30))
    assert decide(policy, 10**6, 0.0) == RetryAfter(30)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Retry(0),
        lambda: Retry(True),
        lambda: Retry(2.5),  # type: ignore[arg-type]
        lambda: Retry(3, backoff=(0, 1)),
        lambda: Retry(3, backoff=(2, 1)),
        lambda: Retry(3, backoff=(1, float("inf"))),
        lambda: Retry(3, backoff=(float("nan"), 1)),
        lambda: Retry(3, backoff=5),  # type: ignore[arg-type]
        lambda: Retry(3).then(Skip),  # type: ignore[arg-type]
        lambda: DeadLetter(""),
        lambda: DeadLetter(5),  # type: ignore[arg-type]
    ],
)
def test_senseless_policy_is_refused_where_it_is_made(make: Any) -> None:
    with pytest.raises(ConfigError):
        make()


def test_a_class_in_place_of_an_instance_is_noticed() -> None:
    with pytest.raises(ConfigError, match=r"agent 'a': .*Skip.*mp\.Skip\(\)"):
        check_policy(Skip, what="agent 'a'")
    policy = Skip()
    assert check_policy(policy, what="agent 'a'") is policy


def test_policies_tell_which_dead_letter_topics_must_exist() -> None:
    topic = FakeTopic("b")
    policies = [
        Stop(),
        DeadLetter("a"),
        Retry(1).then(DeadLetter(topic)),
        DeadLetter("a"),
        Retry(1),
    ]
    assert dead_letters(policies) == ["a", topic]
    assert DeadLetter(topic).topic_name == "b"


def test_last_resort_is_what_follows_all_retries() -> None:
    assert last_resort(Skip()) == Skip()
    assert last_resort(Retry(10**9)) == Stop()
    assert last_resort(Retry(1).then(Retry(2)).then(DeadLetter("dlq"))) == DeadLetter("dlq")


def test_dead_letter_tells_where_and_why() -> None:
    headers = dead_letter_headers(
        [("trace", b"1"), ("millpond.error", b"an earlier one"), ("empty", None)],
        error=ValueError("no such user: é"),
        agent="to_db",
        partition=TopicPartition("orders", 3),
        offset=17,
        attempts=6,
        failed_at=1_714_979_289_123,
    )
    assert headers == [
        ("trace", b"1"),
        ("empty", None),
        ("millpond.error", "no such user: é".encode()),
        ("millpond.error-type", b"ValueError"),
        ("millpond.agent", b"to_db"),
        ("millpond.topic", b"orders"),
        ("millpond.partition", b"3"),
        ("millpond.offset", b"17"),
        ("millpond.attempts", b"6"),
        ("millpond.failed-at", b"1714979289123"),
    ]


def test_an_endless_error_message_is_cut() -> None:
    headers = dead_letter_headers(
        [],
        error=ValueError("x" * 100_000),
        agent="a",
        partition=TopicPartition("t", 0),
        offset=0,
        attempts=1,
        failed_at=0,
    )
    assert len(dict(headers)["millpond.error"] or b"") == 2000
