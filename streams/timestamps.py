"""Between the times that users write and the integer milliseconds that the log keeps.

Everything here is exact: no float ever holds a time. Half a second as 0.5 would be clear enough,
but whether 1700000000.0 is seconds or milliseconds is a guess, and a wrong guess moves every window
by fifty years, so floats are refused.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from ..log.errors import ConfigError
from ..log.model import Timestamp
from .errors import show_value

Extractor: TypeAlias = Callable[[Any], "datetime | Timestamp"]
"""Finds event time in a value: ``timestamp=lambda order: order.at``."""

TIMESTAMP_MAX: Final = 253_402_300_799_999
"""The end of the year 9999. Microseconds or nanoseconds taken for milliseconds lie far beyond."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_DAY_MS: Final = 86_400_000


def to_ms(time: datetime | timedelta | Timestamp) -> Timestamp:
    """Return milliseconds since the epoch; parts of a millisecond are cut off.

    A timedelta is a time since the epoch, as tests with small numbers like it.

    Raises:
        TypeError: of another type, such as float.
        ValueError: a datetime without a time zone, a time before 1970 or after the year 9999.
    """
    if time.__class__ is int:
        ms = time
    elif isinstance(time, datetime):
        since = _aware(time) - _EPOCH
        ms = since.days * _DAY_MS + since.seconds * 1000 + since.microseconds // 1000
    elif isinstance(time, timedelta):
        ms = time // _MS
    elif isinstance(time, int) and not isinstance(time, bool):
        ms = int(time)
    else:
        raise TypeError(
            "a time is a datetime with a time zone, or an int of milliseconds since 1970, "
            f"not {show_value(time)} ({type(time).__name__})"
        )
    if not 0 <= ms <= TIMESTAMP_MAX:
        raise ValueError(_out_of_range(time, ms))
    return ms


def _aware(time: datetime) -> datetime:
    if time.tzinfo is None or time.utcoffset() is None:
        raise ValueError(
            f"{time.isoformat()} has no time zone, so it is not one moment: "
            "make it aware, as in datetime.now(UTC) or time.replace(tzinfo=UTC)"
        )
    return time


def _out_of_range(time: object, ms: int) -> str:
    if ms < 0:
        return f"{show_value(time)} is before 1970-01-01, where no record's time can be"
    return (
        f"{show_value(time)} is after the year 9999 when taken as milliseconds since 1970: "
        "divide microseconds by 1000, or return a datetime"
    )


def from_ms(timestamp: Timestamp) -> datetime:
    """Return the moment as a datetime in UTC, exactly."""
    return _EPOCH + timedelta(milliseconds=timestamp)


def duration_ms(duration: timedelta, *, what: str, zero: bool = False) -> int:
    """Return a user's duration as whole milliseconds.

    Args:
        duration: as the user gave it.
        what: names it in messages: ``table 'minutes': size``.
        zero: whether no time at all is fine.

    Raises:
        ConfigError: not a timedelta, negative, zero where that makes no sense, or with a fraction
            of a millisecond.
    """
    if not isinstance(duration, timedelta):
        raise ConfigError(
            f"{what}: {show_value(duration)} is no timedelta, and so has no unit: "
            "write timedelta(seconds=…)"
        )
    ms, rest = divmod(duration, _MS)
    if rest:
        raise ConfigError(f"{what}: {duration} is not a whole number of milliseconds")
    if ms < 0 or (ms == 0 and not zero):
        wanted = "zero or more" if zero else "more than zero"
        raise ConfigError(f"{what}: {duration} must be {wanted}")
    return ms
