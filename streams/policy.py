"""What to do with a record that can't be decoded, or on which an agent failed: policies as data.

A policy is a value that can be printed and compared; `decide` says what it means for the n-th
failure. The worker acts on the decision, so waiting and sending are its business, and chance is
given in as a number. The default is `Stop`: an error is never taken for an acknowledgement.

```python
on_error=mp.Retry(5, backoff=(0.2, 30)).then(mp.DeadLetter("orders.dlq"))
```
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TypeAlias, runtime_checkable

from ..log.errors import ConfigError
from ..log.model import Headers, Offset, Timestamp, TopicPartition
from .errors import show_value

HEADER_PREFIX: Final = "millpond."
_ERROR_BYTES_MAX: Final = 2000


@runtime_checkable
class Named(Protocol):
    """A topic, as far as a policy must know it."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the partition's task and the worker, which exits non-zero; the record is kept."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Go on with the next record, and count the one that was skipped."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Put the record into another topic, with headers that tell what happened, and go on.

    It is part of the task's commit: the record is in the dead-letter topic exactly once.
    """

    topic: "str | Named"

    def __post_init__(self) -> None:
        if not isinstance(self.topic, str | Named) or not self.topic_name:
            raise ConfigError(
                f"DeadLetter({show_value(self.topic)}): expected a topic or the name of one, "
                'as in DeadLetter("orders.dlq")'
            )

    @property
    def topic_name(self) -> str:
        return self.topic if isinstance(self.topic, str) else self.topic.name


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after a while, up to `times` times; then do as `otherwise` says.

    The wait doubles from the first number of `backoff` to the second, both in seconds, and up to
    half of it is taken off at random, so that many workers don't come back at the same moment.
    """

    times: int
    backoff: tuple[float, float] = (0.2, 30.0)
    otherwise: "Policy" = field(default_factory=Stop)

    def __post_init__(self) -> None:
        if not isinstance(self.times, int) or isinstance(self.times, bool) or self.times < 1:
            raise ConfigError(f"Retry({show_value(self.times)}): try again at least 1 time")
        if not _is_backoff(self.backoff):
            raise ConfigError(
                f"Retry(…, backoff={show_value(self.backoff)}): expected (first, longest) wait in "
                "seconds, 0 < first ≤ longest, as in (0.2, 30)"
            )
        check_policy(self.otherwise, what="Retry(…).then(…)")

    def then(self, policy: "Policy") -> "Retry":
        """Return this policy, followed by another when all tries have failed."""
        last = self.otherwise
        return replace(self, otherwise=last.then(policy) if isinstance(last, Retry) else policy)

    def wait(self, attempt: int, draw: float) -> float:
        """Return the seconds to wait after the n-th failure; `draw` is random in [0, 1)."""
        first, longest = self.backoff
        # No wait has doubled 64 times before it was at its longest, and floats end at 2**1024.
        doubled = min(longest, first * 2.0 ** min(attempt - 1, 64))
        return doubled * (1.0 - draw / 2)


Policy: TypeAlias = Stop | Skip | DeadLetter | Retry


def check_policy(policy: object, *, what: str) -> Policy:
    """Return what the user gave as a policy, or say what would have been one.

    Raises:
        ConfigError: it is none; also for the class in place of an instance, as `Skip` for `Skip()`.
    """
    if isinstance(policy, Stop | Skip | DeadLetter | Retry):
        return policy
    raise ConfigError(
        f"{what}: {show_value(policy)} is no error policy: expected mp.Stop(), mp.Skip(), "
        "mp.DeadLetter(topic) or mp.Retry(times).then(…)"
    )


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Wait, and give the record to the agent once more."""

    seconds: float


@dataclass(frozen=True, slots=True)
class SkipIt:
    """Count the record as done."""


@dataclass(frozen=True, slots=True)
class SendToDeadLetter:
    """Send the record to this topic; then it counts as done."""

    topic: str | Named


@dataclass(frozen=True, slots=True)
class StopIt:
    """Stop the task; the record is not done."""


Decision: TypeAlias = RetryAfter | SkipIt | SendToDeadLetter | StopIt


def decide(policy: Policy, attempt: int, draw: float) -> Decision:
    """Say what to do after a failure.

    Args:
        policy: the stage's.
        attempt: how often this record has failed, this time included: 1, 2, …
        draw: a random number, 0 ≤ draw < 1, for the jitter of a retry.
    """
    assert attempt >= 1, attempt
    assert 0 <= draw < 1, draw
    while isinstance(policy, Retry):
        if attempt <= policy.times:
            return RetryAfter(policy.wait(attempt, draw))
        attempt -= policy.times
        policy = policy.otherwise
    match policy:
        case Stop():
            return StopIt()
        case Skip():
            return SkipIt()
        case DeadLetter(topic):
            return SendToDeadLetter(topic)


def last_resort(policy: Policy) -> Stop | Skip | DeadLetter:
    """Return what a policy comes to when no retry is left, or when none could help."""
    while isinstance(policy, Retry):
        policy = policy.otherwise
    return policy


def dead_letters(policies: Iterable[Policy]) -> list[str | Named]:
    """Return the dead-letter topics that these policies may send to: they must exist at start."""
    topics: list[str | Named] = []
    for policy in map(last_resort, policies):
        if isinstance(policy, DeadLetter) and policy.topic not in topics:
            topics.append(policy.topic)
    return topics


def dead_letter_headers(
    headers: Headers,
    *,
    error: BaseException,
    agent: str,
    partition: TopicPartition,
    offset: Offset,
    attempts: int,
    failed_at: Timestamp,
) -> list[tuple[str, bytes | None]]:
    """Return a dead record's headers: its own, and those that tell where and why it died.

    What an earlier death left behind is replaced, so a record that was replayed and failed again
    tells of its last failure.
    """
    kept = [(name, value) for name, value in headers if not name.startswith(HEADER_PREFIX)]
    told = {
        "error": str(error).encode(errors="replace")[:_ERROR_BYTES_MAX],
        "error-type": _type_name(error).encode(),
        "agent": agent.encode(),
        "topic": partition.topic.encode(),
        "partition": b"%d" % partition.partition,
        "offset": b"%d" % offset,
        "attempts": b"%d" % attempts,
        "failed-at": b"%d" % failed_at,
    }
    return kept + [(HEADER_PREFIX + name, value) for name, value in told.items()]


def _is_backoff(backoff: object) -> bool:
    match backoff:
        case (int() | float() as first, int() | float() as longest):
            return 0 < first <= longest < float("inf")
        case _:
            return False


def _type_name(error: BaseException) -> str:
    cls = type(error)
    return (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )
