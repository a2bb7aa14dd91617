"""A burst goes in, a smooth flow comes out."""

from datetime import timedelta
from typing import Any

import pytest
from millpond.log.errors import ConfigError
from millpond.streams.flow import Bucket, Flow, Rate

SECOND = timedelta(seconds=1)


def test_a_burst_is_let_through_at_once_and_then_one_by_one() -> None:
    bucket = Bucket(Rate(10, per=SECOND), burst=2)
    assert [bucket.take(1, now=0) for _ in range(5)] == [0, 0, 100, 200, 300]


def test_an_idle_bucket_fills_up_to_its_burst_and_no_further() -> None:
    bucket = Bucket(Rate(10, per=SECOND), burst=2)
    for _ in range(2):
        bucket.take(1, now=0)
    assert [bucket.take(1, now=3_600_000) for _ in range(3)] == [0, 0, 100]


def test_by_default_a_burst_is_what_flows_in_a_tenth_of_a_second() -> None:
    assert Bucket(Rate(200, per=SECOND)).burst == 20
    assert Bucket(Rate(1, per=timedelta(minutes=5))).burst == 1


def test_a_batch_larger_than_the_burst_waits_until_it_is_paid() -> None:
    bucket = Bucket(Rate(1000, per=SECOND), burst=100)
    assert bucket.take(500, now=0) == 400
    assert bucket.take(1, now=400) == 1


def test_slow_rates_and_fractions_of_a_millisecond_add_up() -> None:
    bucket = Bucket(Rate(3, per=timedelta(milliseconds=10)), burst=1)
    waits = [bucket.take(1, now=0) for _ in range(301)]
    assert waits[:7] == [0, 4, 7, 10, 14, 17, 20]
    assert waits[300] == 1000


def test_time_that_goes_back_stands_still() -> None:
    bucket = Bucket(Rate(10, per=SECOND), burst=1)
    assert bucket.take(1, now=1000) == 0
    assert bucket.take(1, now=500) == 600
    assert bucket.take(1, now=1000) == 200


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rate(0),
        lambda: Rate(-1),
        lambda: Rate(0.5),  # type: ignore[arg-type]
        lambda: Rate(True),
        lambda: Rate(5, per=timedelta(0)),
        lambda: Rate(5, per=1),  # type: ignore[arg-type]
        lambda: Flow(rate=200),  # type: ignore[arg-type]
        lambda: Bucket(Rate(5), burst=0),
    ],
)
def test_senseless_rates_are_refused(make: Any) -> None:
    with pytest.raises(ConfigError):
        make()


def test_flow_without_limits_is_the_default() -> None:
    assert Flow().rate is None
    assert Flow(rate=Rate(5)).rate == Rate(5, per=SECOND)
