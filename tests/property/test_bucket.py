"""The bucket against its promise, checked for every stretch of time, and against exact fractions."""

import math
from datetime import timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from millpond.streams.flow import Bucket, Rate

rates = st.builds(
    lambda n, ms: Rate(n, per=timedelta(milliseconds=ms)), st.integers(1, 50), st.integers(1, 50)
)
calls = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), min_size=1, max_size=40)


class SlowBucket:
    """A level that rises each millisecond, in fractions."""

    def __init__(self, rate: Rate, burst: int) -> None:
        self.refill = Fraction(rate.n, rate.per_ms)
        self.burst = burst
        self.level = Fraction(burst)

    def pass_one_ms(self) -> None:
        self.level = min(Fraction(self.burst), self.level + self.refill)

    def take(self, n: int) -> int:
        self.level -= n
        wait = 0
        level = self.level
        while level < 0:
            level += self.refill
            wait += 1
        return wait


@given(rates, st.integers(1, 8), calls)
def test_waits_are_those_of_the_slow_bucket(
    rate: Rate, burst: int, calls: list[tuple[int, int]]
) -> None:
    fast, slow = Bucket(rate, burst=burst), SlowBucket(rate, burst)
    now = 0
    for pause, n in calls:
        for _ in range(pause):
            slow.pass_one_ms()
        now += pause
        assert fast.take(n, now) == slow.take(n)


@given(rates, st.integers(1, 8), calls)
def test_no_stretch_of_time_sees_more_than_the_rate_and_one_burst(
    rate: Rate, burst: int, calls: list[tuple[int, int]]
) -> None:
    bucket = Bucket(rate, burst=burst)
    released: list[tuple[int, int]] = []
    now = 0
    for pause, n in calls:
        now += pause
        released.append((now + bucket.take(n, now), n))
    assert released == sorted(released, key=lambda each: each[0]), "served in order"
    largest = max(burst, max(n for _, n in released))
    for first in range(len(released)):
        total = 0
        for at, n in released[first:]:
            total += n
            stretch = at - released[first][0] + 1
            assert total <= largest + Fraction(stretch * rate.n, rate.per_ms)


@given(rates, st.integers(1, 8), st.integers(1, 300))
def test_while_records_wait_none_is_held_back_longer_than_due(
    rate: Rate, burst: int, count: int
) -> None:
    bucket = Bucket(rate, burst=burst)
    last = max(bucket.take(1, 0) for _ in range(count))
    assert last == math.ceil(Fraction(max(0, count - burst) * rate.per_ms, rate.n))
