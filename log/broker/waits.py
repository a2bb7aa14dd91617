"""What the handling of a request may wait for, said as values.

A handler is a generator. It does what it can at once, yields what it must wait for, and goes on when
that has come; what it returns is the response. So a handler is plain deterministic code in the order
in which things happen, and whoever drives it decides how to wait: a server by callbacks, without a
task per request, a test in virtual time.

    yield [log, …]          until what is appended to these logs is as durable as was promised
    yield Flush(logs)       not at all: these are synced when there is time, and readers are told
    yield Change(…)         until something is new in one of the partitions, or time is up
    yield promise           until another request keeps the promise; gives its value
    yield Exclusive(…)      until no one else creates, removes or compacts; holds to the end
    yield Quiet(act)        until no sync is in flight; then does `act`, and gives its result
    yield Aside(act)        until `act` is done by somebody else meanwhile; gives its result

`Steps` (`steps.py`) is the first of these alone; a handler uses it with `yield from`.
"""

from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from ..model import TopicPartition
from ..storage.partition_log import PartitionLog

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Flush:
    """Have these logs synced, and their readers woken, but do not wait for it."""

    logs: Collection[PartitionLog]


@dataclass(frozen=True, slots=True)
class Change:
    """Wait until a reader of one of these partitions may find more than before, or time is up.

    The handler is sent True for a change, False when `wait_ms` have passed, or when it is to answer at
    once because the broker stops or the client has left.
    """

    partitions: Collection[TopicPartition]
    wait_ms: int


class Promise(Generic[T]):
    """A value that is still to come, from another request or from the passing of time.

    Keeping it a second time does nothing. `when_kept` belongs to whoever drives the handling: it is
    called at once, so it must not go on with the handling itself, but see to it that it soon does.
    """

    __slots__ = ("_kept", "value", "when_kept")

    def __init__(self) -> None:
        self.value: T | None = None
        self.when_kept: Callable[[], None] | None = None
        self._kept = False

    @property
    def kept(self) -> bool:
        """Whether the value has come."""
        return self._kept

    def keep(self, value: T) -> None:
        """Bring the value."""
        if not self._kept:
            self._kept = True
            self.value = value
            if self.when_kept is not None:
                self.when_kept()


@dataclass(frozen=True, slots=True)
class Exclusive:
    """Wait for the right to change which partitions and records exist; hold it until the end.

    Who removes nothing need not wait for a compaction, which may take minutes.
    """

    removes: bool = True


@dataclass(frozen=True, slots=True)
class Quiet:
    """Wait until no sync is in flight, then do this: files may be closed and removed."""

    act: Callable[[], Any]


class Disconnect(Exception):
    """Raised by a handler where Kafka's answer is to close the connection; says why."""


@dataclass(frozen=True, slots=True)
class Aside:
    """Do this in a thread while others have their turn: it takes long, and touches what nobody sees."""

    act: Callable[[], Any]


Wait: TypeAlias = (
    Collection[PartitionLog] | Flush | Change | Promise[Any] | Exclusive | Quiet | Aside
)

Handling: TypeAlias = Generator[Wait, Any, T]
