"""Peak shaving: a stage takes records at a steady rate, and the burst waits in the log.

The bucket is arithmetic on whole milliseconds: it is told the time and answers how long to wait, so
tests run hours of flow in an instant. It counts in fractions 1/n of a millisecond, in integers, so
that after a year not one record too many has passed.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from ..log.errors import ConfigError
from ..log.model import Timestamp
from .errors import show_value
from .timestamps import duration_ms

BURST_MS: Final = 100
"""A bucket lets through at once what it may in this time: waiting for each record by itself would
cost more than most records do."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many records per time: ``Rate(200, per=timedelta(seconds=1))``."""

    n: int
    per: timedelta = timedelta(seconds=1)

    def __post_init__(self) -> None:
        if not isinstance(self.n, int) or isinstance(self.n, bool) or self.n < 1:
            raise ConfigError(
                f"Rate({show_value(self.n)}, …): expected a whole number of records, at least 1; "
                "for less than one a second make `per` longer, as in Rate(1, per=timedelta(minutes=5))"
            )
        duration_ms(self.per, what=f"Rate({self.n}, per=…)")

    @property
    def per_ms(self) -> int:
        return self.per // timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Flow:
    """How a stage takes its records.

    Attributes:
        rate: at most so many; None is as many as come.
    """

    rate: Rate | None = None

    def __post_init__(self) -> None:
        if self.rate is not None and not isinstance(self.rate, Rate):
            raise ConfigError(
                f"Flow(rate={show_value(self.rate)}): expected Rate(200, per=timedelta(seconds=1))"
            )


class Bucket:
    """A token bucket that lends: whoever takes is told how long to wait before using what it took.

    In any T consecutive milliseconds at most ``burst + T * n / per`` records are let through (if one
    call takes more than `burst` at once, it counts as the burst), and while records wait, none
    waits longer than that demands. The bucket is full at first. Time that goes back counts as time
    standing still.

    Attributes:
        burst: how many records are let through at once after a pause.
    """

    __slots__ = ("_cost", "_full", "_now", "_owed", "_scale", "burst")

    def __init__(self, rate: Rate, *, burst: int | None = None) -> None:
        """Make a full bucket.

        Args:
            rate: how fast it refills.
            burst: how much it holds; what flows in `BURST_MS`, but at least 1, by default.
        """
        self._scale = rate.n
        self._cost = rate.per_ms  # of one record, in 1/n ms
        if burst is None:
            burst = max(1, rate.n * BURST_MS // rate.per_ms)
        if burst < 1:
            raise ConfigError(f"burst={burst}: a bucket that holds nothing lets nothing through")
        self.burst = burst
        self._full = burst * self._cost
        self._owed = 0  # how far the bucket is from full; more than `_full` is a debt
        self._now: Timestamp | None = None

    def take(self, n: int, now: Timestamp) -> int:
        """Take n tokens and return how many ms to wait before using them; 0 is at once.

        Calls are served in order: a later call never waits less than an earlier one still does.
        """
        if self._now is None:
            self._now = now
        elif now > self._now:
            self._owed = max(0, self._owed - (now - self._now) * self._scale)
            self._now = now
        self._owed += n * self._cost
        debt = self._owed - self._full
        if debt <= 0:
            return 0
        # Measured from the latest time seen; a `now` that lies before it waits that much longer.
        return self._now - now - (-debt // self._scale)
