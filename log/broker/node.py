"""What the handlers of requests work on: one broker of a cluster, with its coordinators."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..coordinator.consumer_group import ConsumerGroupLimits
from ..coordinator.group import Instant
from ..model import Timestamp
from .core import Broker
from .groups import Groups
from .members import GroupCoordinator
from .metrics import Metrics
from .offset_expiry import OffsetExpiry
from .served import Served
from .settings import BrokerSettings
from .transaction_upkeep import TransactionUpkeep
from .transactions import Transactions
from .turns import Turns
from .waits import Handling


class NodeClock(Protocol):
    """Tells the time, twice over."""

    def now(self) -> Timestamp:
        """Return the wall clock, for timestamps in the log."""

    def elapsed_ms(self) -> int:
        """Return milliseconds that never jump, for timeouts."""


class Timed(Protocol):
    """Something of the node that acts by itself when its time has come."""

    def next_due_ms(self) -> int | None:
        """Return the `elapsed_ms` at which there is something to do; None: nothing so far."""

    def on_time(self, node: "Node") -> Handling[None]:
        """Do what is due by now."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where clients reach the broker: what it says of itself to those who came the same way."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, and how."""

    version: int
    client_id: str
    host: str
    endpoint: Endpoint


@dataclass(slots=True)
class Node:
    """One broker: its log, its coordinators, its settings.

    `served` lists what it answers, by API key. `timed` lists who must be called when it is time.
    """

    served: Mapping[int, Served]
    settings: BrokerSettings
    cluster_id: str
    clock: NodeClock
    broker: Broker
    offsets: Groups
    transactions: Transactions
    groups: GroupCoordinator
    timed: list[Timed] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)
    producing: Turns = field(default_factory=Turns)
    """Transactional producers, by id, whose requests wait to be admitted."""

    def __post_init__(self) -> None:
        self.broker.set_static_defaults(str(self.settings.node_id), self.settings.topic_defaults)
        limits = ConsumerGroupLimits(
            session_timeout_ms=self.settings.group_consumer_session_timeout_ms,
            heartbeat_interval_ms=self.settings.group_consumer_heartbeat_interval_ms,
            members_max=self.settings.group_consumer_max_size,
        )
        self.groups.resume(self.instant(), limits)
        check_ms = self.settings.offsets_retention_check_interval_ms
        expiry = OffsetExpiry(self.groups, self.clock.elapsed_ms() + check_ms)
        self.timed += [self.groups, expiry, TransactionUpkeep()]

    def now(self) -> Timestamp:
        """Return the wall clock."""
        return self.clock.now()

    def instant(self) -> Instant:
        """Return the time, by both clocks."""
        return Instant(self.clock.now(), self.clock.elapsed_ms())
