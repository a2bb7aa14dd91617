"""How the state of a consumer group changes: each of these values is one record (KIP-848).

What a live group does and what is replayed at opening are the same values, applied by the same code
(`consumer_group_state.py`); so a group can't come to differ from its records. In each, None takes
back what was said before.
"""

from typing import NamedTuple, TypeAlias

from .assignors import Partitions
from .consumer_group_member import CurrentAssignment, Subscription


class GroupEpoch(NamedTuple):
    """The group epoch, which rises when there must be another assignment.

    `metadata_hash` stands for the topics that are subscribed to, with their ids and sizes.
    """

    epoch: int
    metadata_hash: int


class ResolvedPattern(NamedTuple):
    """The topics that a regular expression means, as of some revision of what exists."""

    topics: frozenset[str]
    revision: int


class GroupEpochSet(NamedTuple):
    """The group has this epoch. None: it is no more."""

    to: GroupEpoch | None


class SubscriptionSet(NamedTuple):
    """A member wants this. None: it is no member any more."""

    member_id: str
    to: Subscription | None


class TargetEpochSet(NamedTuple):
    """The target assignment was made for this group epoch. None: there is none."""

    to: int | None


class TargetSet(NamedTuple):
    """A member is to have these partitions. None: nothing is said of it."""

    member_id: str
    to: Partitions | None


class CurrentSet(NamedTuple):
    """A member has this. None: it has nothing."""

    member_id: str
    to: CurrentAssignment | None


class PatternSet(NamedTuple):
    """A regular expression means these topics. None: nobody uses it any more."""

    pattern: str
    to: ResolvedPattern | None


Change: TypeAlias = (
    GroupEpochSet | SubscriptionSet | TargetEpochSet | TargetSet | CurrentSet | PatternSet
)
