"""What travels through the pipeline: one class for each kind of record."""

from datetime import datetime

import millpond as mp


class Flight(mp.Record, frozen=True):
    """One flight, as the airport reported it. A cancelled one has no delay."""

    carrier: str
    number: int
    tail: str | None
    origin: str
    destination: str
    scheduled: datetime
    delay: int | None
    """Minutes between schedule and departure; negative when it left early."""
    at: datetime
    """When it happened: the departure, or for a cancelled flight the planned one."""


class Carrier(mp.Record, frozen=True):
    """An airline."""

    name: str


class Plane(mp.Record, frozen=True):
    """An entry of the register of planes."""

    model: str
    seats: int


class Punctuality(mp.Record):
    """How punctual some flights were. Mutable: agents count in place, in a table.

    Sums, not means, are kept: they can be added to.
    """

    departures: int = 0
    cancelled: int = 0
    delay_sum: int = 0
    delay_max: int | None = None

    def count(self, delay: int | None) -> None:
        """Add one flight."""
        if delay is None:
            self.cancelled += 1
            return
        self.departures += 1
        self.delay_sum += delay
        if self.delay_max is None or delay > self.delay_max:
            self.delay_max = delay

    @property
    def delay_mean(self) -> float | None:
        """Minutes; None if nothing departed."""
        return self.delay_sum / self.departures if self.departures else None


class AirportHour(mp.Record, frozen=True):
    """The final word on one airport and one hour."""

    airport: str
    hour: datetime
    departures: int
    cancelled: int
    delay_sum: int
    delay_mean: float | None
    delay_max: int | None


class EnrichedFlight(mp.Record, frozen=True):
    """A flight with the name of its carrier, and what the register says of its plane."""

    carrier: str
    number: int
    airline: str
    tail: str | None
    plane: str | None
    seats: int | None
    origin: str
    destination: str
    scheduled: datetime
    delay: int | None
    at: datetime

    @property
    def id(self) -> str:
        """Tell this flight from all others: ``UA1545 EWR 2013-01-01 10:15``."""
        return f"{self.carrier}{self.number} {self.origin} {self.scheduled:%Y-%m-%d %H:%M}"
