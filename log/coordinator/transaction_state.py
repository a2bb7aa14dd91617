"""What is known of a transactional id: who owns it, and how far its transaction is.

A transaction's life is the table `MAY_FOLLOW`:

    Empty            the id has an owner, who has not begun anything yet
    Ongoing          data may be written to the transaction's partitions
    PrepareCommit    the decision; once durable, a commit marker goes to each partition
    PrepareAbort     the same with abort markers
    CompleteCommit   nothing is left to do; the next transaction may begin
    CompleteAbort    the same
    Dead             the id is forgotten

Who may move it is decided in `transactions.py`.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from ..model import Timestamp, TopicPartition

EPOCH_MAX: Final = 2**15 - 2
"""The last epoch that a producer is given. One more is kept free, so that it can always be fenced."""

NO_PRODUCER: Final = -1


class Status(enum.IntEnum):
    """How far a transaction is; the numbers are those of Kafka's log."""

    EMPTY = 0
    ONGOING = 1
    PREPARE_COMMIT = 2
    PREPARE_ABORT = 3
    COMPLETE_COMMIT = 4
    COMPLETE_ABORT = 5
    DEAD = 6

    @property
    def title(self) -> str:
        """The name that Kafka's tools show, such as ``PrepareCommit``."""
        return "".join(word.capitalize() for word in self.name.split("_"))


MAY_FOLLOW: Final[Mapping[Status, frozenset[Status]]] = {
    Status.EMPTY: frozenset({Status.EMPTY, Status.ONGOING, Status.PREPARE_ABORT, Status.DEAD}),
    Status.ONGOING: frozenset({Status.ONGOING, Status.PREPARE_COMMIT, Status.PREPARE_ABORT}),
    Status.PREPARE_COMMIT: frozenset({Status.COMPLETE_COMMIT}),
    Status.PREPARE_ABORT: frozenset({Status.COMPLETE_ABORT}),
    Status.COMPLETE_COMMIT: frozenset(
        {Status.EMPTY, Status.ONGOING, Status.PREPARE_ABORT, Status.DEAD}
    ),
    Status.COMPLETE_ABORT: frozenset(
        {Status.EMPTY, Status.ONGOING, Status.PREPARE_ABORT, Status.DEAD}
    ),
    Status.DEAD: frozenset(),
}

PREPARED: Final = frozenset({Status.PREPARE_COMMIT, Status.PREPARE_ABORT})
COMPLETED: Final = frozenset({Status.COMPLETE_COMMIT, Status.COMPLETE_ABORT})


class Epochs(enum.Enum):
    """Which producer epoch the transaction behind this one has.

    KEPT: the same; clients before KIP-890 expect that, so nothing that they send says which of their
    transactions it belongs to. AT_DECISION: the next one, which the markers carry already, so that a
    partition refuses what comes after them (KIP-890). AT_COMPLETION: the next one, but the markers
    carry the old one; for the log in this process, whose transactions are ended as they are begun.
    """

    KEPT = enum.auto()
    AT_DECISION = enum.auto()
    AT_COMPLETION = enum.auto()


class Identity(NamedTuple):
    """As whom a producer writes."""

    producer_id: int
    producer_epoch: int

    def __str__(self) -> str:
        return f"id {self.producer_id}, epoch {self.producer_epoch}"


@dataclass(frozen=True, slots=True)
class Transaction:
    """What is known of one transactional id.

    `previous_producer_id` is set when the owner itself has moved on to the present epoch: a repeated
    request may still come from the one before. `next` is who the owner becomes when what is decided
    has been carried out, if that is somebody else.
    """

    transactional_id: str
    producer_id: int
    producer_epoch: int
    timeout_ms: int
    status: Status
    partitions: frozenset[TopicPartition]
    updated: Timestamp
    started: Timestamp = -1
    previous_producer_id: int = NO_PRODUCER
    next: Identity | None = None

    @property
    def identity(self) -> Identity:
        """As whom the owner writes."""
        return Identity(self.producer_id, self.producer_epoch)

    @property
    def previous_identity(self) -> Identity | None:
        """As whom the owner wrote before it moved on by itself; None: it did not."""
        if self.previous_producer_id == NO_PRODUCER:
            return None
        if self.previous_producer_id != self.producer_id:
            return Identity(self.previous_producer_id, EPOCH_MAX)
        return Identity(self.producer_id, self.producer_epoch - 1)

    @property
    def commit(self) -> bool:
        """Whether the decision was to commit; only asked once there is a decision."""
        return self.status in {Status.PREPARE_COMMIT, Status.COMPLETE_COMMIT}
