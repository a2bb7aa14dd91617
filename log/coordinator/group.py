"""What a group is to the rest of the broker, whichever protocol its members speak.

There are two kinds: classic groups (`classic_group.py`), whose members make the assignment, and
consumer groups of KIP-848 (`consumer_group.py`), where the broker makes it. Commits, expiry, listing
and deletion concern both, and see only what stands here. A group that merely has committed offsets
is a classic one without members.

A group decides; it has no clock and writes nothing. What must be durable before it goes on, it
yields:

    def leave(self, …) -> Changes[ErrorCode]:
        …                   # the member is gone, in memory
        yield [record]      # goes on when this is on disk
        …                   # answer those who wait

`broker/members.py` appends such records to the group's partition of `__consumer_offsets`, and waits.
If they are too large for that, RecordTooLarge is raised where they were yielded.
Their replay is the group as it is after a restart.
"""

import enum
from collections.abc import Generator, Sequence
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from ..model import NewRecord, Timestamp
from ..wire.error_codes import ErrorCode

T = TypeVar("T")
Value = TypeVar("Value", contravariant=True)

Changes: TypeAlias = Generator[Sequence[NewRecord], None, T]
"""A change that yields the records which must be durable before it goes on."""


class Instant(NamedTuple):
    """Now, twice over: the wall clock goes into records, what never jumps decides about timeouts."""

    timestamp: Timestamp
    elapsed_ms: int


class GroupKind(enum.Enum):
    """Which protocol a group's members speak, by the names that Kafka shows."""

    CLASSIC = "classic"
    CONSUMER = "consumer"


class CommitAs(NamedTuple):
    """As whom somebody commits: the member, and the generation or member epoch that it is in.

    Who is no member gives no member id and a negative generation. `transactional` is a commit within
    a transaction, of which less is asked: old producers do not say on whose behalf they commit.
    """

    member_id: str = ""
    group_instance_id: str | None = None
    generation: int = -1
    transactional: bool = False


class Reply(Protocol[Value]):
    """Where an answer goes that may come later; a `Promise` is one."""

    def keep(self, value: Value) -> None:
        """Bring the answer. A second one does nothing."""


class Group(Protocol):
    """A group of either kind."""

    @property
    def group_id(self) -> str: ...

    @property
    def kind(self) -> GroupKind: ...

    @property
    def protocol_type(self) -> str:
        """Return what its members use the group for, such as ``consumer``; empty: nobody said."""

    @property
    def state_name(self) -> str:
        """Return the state as Kafka's tools show it."""

    @property
    def is_empty(self) -> bool:
        """Say whether there are no members: it may be deleted, or become of the other kind."""

    @property
    def next_due_ms(self) -> int | None:
        """Return when `on_time` has something to do at the earliest, by `Instant.elapsed_ms`.

        Too early does no harm: deadlines that are put off need not be searched for the next one.
        """

    def on_time(self, now: Instant) -> Changes[None]:
        """Do what is due: members whose session is over leave, rebalances end."""

    def resume(self, now: Instant) -> None:
        """Go on after a restart: all sessions begin anew."""

    def check_commit(self, who: CommitAs, version: int) -> ErrorCode:
        """Say whether one may commit offsets, with this version of OffsetCommit."""

    def check_fetch(self, member_id: str | None, member_epoch: int) -> ErrorCode:
        """Say whether one may read the committed offsets; None: somebody who is no member."""

    def check_delete_offsets(self) -> ErrorCode:
        """Say whether offsets of topics that are not subscribed to may be deleted."""

    def subscribes_to(self, topic: str) -> bool:
        """Say whether members read this topic: its offsets are neither deleted nor expired."""

    def unused_since(self, committed: Timestamp) -> Timestamp | None:
        """Return since when an offset, committed at this time, counts as unused; None: it is in use."""

    def tombstones(self, now: Timestamp) -> list[NewRecord]:
        """Return the records that remove all that is kept of the group, but for its offsets."""
