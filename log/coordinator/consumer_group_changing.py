"""How a consumer group comes by its next state, in changes that are applied and written alike.

`Draft` applies each change at once and remembers it, so what follows sees what came before. Nothing
here waits or fails: whoever may not do a thing has been refused before.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from .assignors import ASSIGNORS
from .consumer_group_changes import (
    Change,
    CurrentSet,
    GroupEpoch,
    GroupEpochSet,
    PatternSet,
    SubscriptionSet,
    TargetEpochSet,
    TargetSet,
)
from .consumer_group_member import JOINING, LEAVING_FOR_A_WHILE, Member, Subscription
from .consumer_group_state import ConsumerGroupState
from .subscribed_topics import (
    ExistingTopics,
    changed_patterns,
    metadata_hash,
    subscribed_topics,
    subscribers,
)


@dataclass(slots=True)
class Draft:
    """Changes of a group that are applied, and still to be written."""

    state: ConsumerGroupState
    changes: list[Change] = field(default_factory=list)

    def apply(self, change: Change) -> None:
        """Make a change."""
        self.state.apply(change)
        self.changes.append(change)


def enter(draft: Draft, member_id: str, known: Member | None, wanted: Subscription) -> Member:
    """Let a member be in the group with what it wants; return it.

    A static member that comes back keeps its target, so it gets what it had.
    """
    state = draft.state
    if known is not None and known.member_id != member_id:
        target = state.target_of(known.member_id)
        _forget(draft, known.member_id)
        draft.apply(SubscriptionSet(member_id, wanted))
        draft.apply(TargetSet(member_id, target))
    elif known is None or known.subscription != wanted:
        draft.apply(SubscriptionSet(member_id, wanted))
    if known is not None and known.current.member_epoch == LEAVING_FOR_A_WHILE:
        current = replace(known.current, member_epoch=JOINING, previous_member_epoch=JOINING)
        draft.apply(CurrentSet(member_id, current))
    if known is not None and known.subscription.topic_regex != wanted.topic_regex:
        _forget_pattern(draft, known.subscription.topic_regex)
    return state.members[member_id]


def renew_epoch(
    draft: Draft, topics: ExistingTopics, *, other_topics: bool, look_again: bool
) -> None:
    """Raise the group epoch if what is to be assigned has changed, or who is there.

    Args:
        draft: the changes.
        topics: what exists.
        other_topics: somebody wants other topics than before.
        look_again: topics may have come, gone or grown.
    """
    state = draft.state
    for change in changed_patterns(state, topics, look_again=look_again):
        draft.apply(change)
    seen = metadata_hash(subscribed_topics(state, topics))
    is_due = state.group_epoch > state.assignment_epoch
    if other_topics or (seen != state.metadata_hash and not is_due):
        draft.apply(GroupEpochSet(GroupEpoch(state.group_epoch + 1, seen)))
    elif seen != state.metadata_hash:
        draft.apply(GroupEpochSet(GroupEpoch(state.group_epoch, seen)))


def assign(draft: Draft, topics: ExistingTopics) -> None:
    """Make the target assignment of the present group epoch."""
    state = draft.state
    subscribed = subscribed_topics(state, topics)
    partition_counts = {topic.topic_id: topic.partitions for topic in subscribed.values()}
    targets = ASSIGNORS[state.assignor](subscribers(state, subscribed), partition_counts)
    for member_id, target in targets.items():
        if state.targets.get(member_id) != target:
            draft.apply(TargetSet(member_id, target))
    draft.apply(TargetEpochSet(state.group_epoch))


def remove(draft: Draft, member_ids: Collection[str]) -> None:
    """Let members be no more, and the group epoch rise."""
    state = draft.state
    draft.apply(GroupEpochSet(GroupEpoch(state.group_epoch + 1, state.metadata_hash)))
    for member_id in member_ids:
        pattern = state.members[member_id].subscription.topic_regex
        _forget(draft, member_id)
        _forget_pattern(draft, pattern)


def removal_of_group(state: ConsumerGroupState) -> list[Change]:
    """Return what removes a group without members."""
    changes: list[Change] = [PatternSet(pattern, None) for pattern in state.patterns]
    return [*changes, TargetEpochSet(None), GroupEpochSet(None)]


def _forget(draft: Draft, member_id: str) -> None:
    draft.apply(CurrentSet(member_id, None))
    draft.apply(TargetSet(member_id, None))
    draft.apply(SubscriptionSet(member_id, None))


def _forget_pattern(draft: Draft, pattern: str) -> None:
    if pattern in draft.state.patterns and not draft.state.uses_pattern(pattern):
        draft.apply(PatternSet(pattern, None))
