"""A member of a consumer group: what it wants, and how far it is in coming by it (KIP-848).

    STABLE                 it has what it is to have in its epoch
    UNREVOKED_PARTITIONS   it was told to give partitions up, and has not yet said that it did
    UNRELEASED_PARTITIONS  it waits for partitions that another member has not given up yet

The two halves are written as two records: most rebalances change only the second.
"""

import enum
from dataclasses import dataclass
from typing import Final

from .assignors import Partitions

JOINING: Final = 0
LEAVING: Final = -1
LEAVING_FOR_A_WHILE: Final = -2
"""Member epochs that say what a member does; the last is that of a static one which will be back."""

NO_PARTITIONS: Final[Partitions] = frozenset()


class MemberState(enum.IntEnum):
    """How far a member is; the numbers are Kafka's, in its records."""

    STABLE = 0
    UNREVOKED_PARTITIONS = 1
    UNRELEASED_PARTITIONS = 2


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who a member is and what it wants. `topic_names` are sorted; no regex is an empty one."""

    instance_id: str | None = None
    rack_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    topic_names: tuple[str, ...] = ()
    topic_regex: str = ""
    rebalance_timeout_ms: int = -1
    server_assignor: str | None = None


@dataclass(frozen=True, slots=True)
class CurrentAssignment:
    """What a member has been told to have, in which epoch.

    `revoking` are partitions that it had, and that are not free before it says so. With
    `previous_member_epoch` it may come again, if the answer that brought the new one was lost.
    """

    member_epoch: int = JOINING
    previous_member_epoch: int = JOINING
    state: MemberState = MemberState.STABLE
    assigned: Partitions = NO_PARTITIONS
    revoking: Partitions = NO_PARTITIONS

    @property
    def at_work(self) -> Partitions:
        """Return all that nobody else may have: what it has, and what it has yet to give up."""
        return self.assigned | self.revoking

    def is_settled_in(self, assignment_epoch: int) -> bool:
        """Say whether the member has what it is to have by that target assignment."""
        return self.state is MemberState.STABLE and self.member_epoch == assignment_epoch


@dataclass(frozen=True, slots=True)
class Member:
    """A member. `subscription` is missing only between two records while they are replayed."""

    member_id: str
    subscription: Subscription = Subscription()
    current: CurrentAssignment = CurrentAssignment()
