"""The life of a classic group, as a table.

    Empty ──► PreparingRebalance ──► CompletingRebalance ──► Stable
      ▲          │    ▲                    │                   │
      └──────────┘    └────────────────────┴───────────────────┘

In *PreparingRebalance* all members have to join anew, until the slowest one's rebalance timeout. Then
the next generation begins: all get its number, and the leader all members' metadata. In
*CompletingRebalance* the leader sends the assignment with its SyncGroup; when that is durable, all
get their part of it, and the group is *Stable*. A member whose session ends, or that leaves or wants
something else, begins the next rebalance.
"""

import enum
from collections.abc import Mapping
from typing import Final


class GroupState(enum.Enum):
    """How far a group is, by the names that Kafka's tools show. Dead is said of one that isn't."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


EMPTY: Final = GroupState.EMPTY
PREPARING: Final = GroupState.PREPARING_REBALANCE
COMPLETING: Final = GroupState.COMPLETING_REBALANCE
STABLE: Final = GroupState.STABLE
DEAD: Final = GroupState.DEAD

MAY_FOLLOW: Final[Mapping[GroupState, frozenset[GroupState]]] = {
    EMPTY: frozenset({PREPARING, DEAD}),
    PREPARING: frozenset({COMPLETING, EMPTY}),
    COMPLETING: frozenset({STABLE, PREPARING}),
    STABLE: frozenset({PREPARING}),
    DEAD: frozenset(),
}
