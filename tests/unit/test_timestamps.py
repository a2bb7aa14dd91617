"""Times that users write become integer milliseconds, exactly, or a clear error."""

import enum
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from millpond.log.errors import ConfigError
from millpond.streams.timestamps import TIMESTAMP_MAX, duration_ms, from_ms, to_ms


class Year(enum.IntEnum):
    Y2K = 946_684_800_000


@pytest.mark.parametrize(
    ("time", "ms"),
    [
        (0, 0),
        (1_714_979_289_123, 1_714_979_289_123),
        (Year.Y2K, 946_684_800_000),
        (timedelta(seconds=5), 5000),
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(2024, 5, 6, 7, 8, 9, 123_000, tzinfo=UTC), 1_714_979_289_123),
        (
            datetime(2024, 5, 6, 9, 8, 9, 123_000, tzinfo=timezone(timedelta(hours=2))),
            1_714_979_289_123,
        ),
        (datetime(2024, 5, 6, 7, 8, 9, 123_999, tzinfo=UTC), 1_714_979_289_123),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), TIMESTAMP_MAX),
    ],
)
def test_time_in_milliseconds(time: Any, ms: int) -> None:
    assert to_ms(time) == ms
    assert type(to_ms(time)) is int


def test_naive_datetime_is_refused_with_a_remedy() -> None:
    with pytest.raises(ValueError, match=r"no time zone.*tzinfo=UTC"):
        to_ms(datetime(2024, 5, 6))  # noqa: DTZ001


@pytest.mark.parametrize("time", [1_714_979_289.123, "2024-05-06", None, True, date(2024, 5, 6)])
def test_what_is_ambiguous_is_refused(time: Any) -> None:
    with pytest.raises(TypeError, match="a time is a datetime with a time zone, or an int"):
        to_ms(time)


@pytest.mark.parametrize(
    "time", [-1, timedelta(milliseconds=-1), datetime(1969, 12, 31, tzinfo=UTC)]
)
def test_time_before_1970_is_refused(time: Any) -> None:
    with pytest.raises(ValueError, match="before 1970"):
        to_ms(time)


@pytest.mark.parametrize("time", [1_714_979_289_123_456, 1_714_979_289_123_456_789])
def test_microseconds_and_nanoseconds_are_recognised(time: int) -> None:
    with pytest.raises(ValueError, match=r"after the year 9999.*divide"):
        to_ms(time)


def test_there_and_back() -> None:
    assert from_ms(1_714_979_289_123) == datetime(2024, 5, 6, 7, 8, 9, 123_000, tzinfo=UTC)
    assert from_ms(TIMESTAMP_MAX).year == 9999
    assert to_ms(from_ms(TIMESTAMP_MAX)) == TIMESTAMP_MAX


def test_duration_in_milliseconds() -> None:
    assert duration_ms(timedelta(minutes=1), what="size") == 60_000
    assert duration_ms(timedelta(milliseconds=1), what="size") == 1
    assert duration_ms(timedelta(0), what="grace", zero=True) == 0


@pytest.mark.parametrize(
    ("duration", "zero", "why"),
    [
        (timedelta(0), False, "more than zero"),
        (timedelta(seconds=-1), False, "more than zero"),
        (timedelta(seconds=-1), True, "zero or more"),
        (timedelta(microseconds=1500), False, "whole number of milliseconds"),
        (60, False, "no timedelta"),
        (None, False, "no timedelta"),
    ],
)
def test_duration_that_makes_no_sense_is_refused(duration: Any, zero: bool, why: str) -> None:
    with pytest.raises(ConfigError, match=f"^table 'm': size: .*{why}"):
        duration_ms(duration, what="table 'm': size", zero=zero)
