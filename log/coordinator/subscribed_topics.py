"""Which topics a consumer group reads, of those that exist: what its assignment is made from."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from .assignors import Subscriber
from .consumer_group_changes import PatternSet, ResolvedPattern
from .consumer_group_member import NO_PARTITIONS
from .consumer_group_state import ConsumerGroupState
from .topic_patterns import matching_topics

NO_TOPICS_HASH: Final = 0


class ExistingTopic(Protocol):
    """What must be known of a topic."""

    @property
    def topic_id(self) -> UUID: ...

    @property
    def partitions(self) -> int: ...

    @property
    def internal(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class ExistingTopics:
    """The topics that exist. The revision rises with every change of them."""

    by_name: Mapping[str, ExistingTopic]
    revision: int

    def matching(self, pattern: str) -> ResolvedPattern:
        """Return what a regular expression means."""
        names = (name for name, topic in self.by_name.items() if not topic.internal)
        return ResolvedPattern(matching_topics(pattern, names), self.revision)


def changed_patterns(
    state: ConsumerGroupState, topics: ExistingTopics, *, look_again: bool
) -> list[PatternSet]:
    """Return which regular expressions of a group are new, or now mean other topics than before."""
    used = {member.subscription.topic_regex for member in state.members.values()} - {""}
    changes = []
    for pattern in sorted(used):
        known = state.patterns.get(pattern)
        if known is not None and not look_again:
            continue
        resolved = topics.matching(pattern)
        if known is None or known.topics != resolved.topics:
            changes.append(PatternSet(pattern, resolved))
    return changes


def subscribed_topics(
    state: ConsumerGroupState, topics: ExistingTopics
) -> dict[str, ExistingTopic]:
    """Return what the group reads, by name, in order."""
    names: set[str] = set()
    for member in state.members.values():
        names |= state.topics_of(member.subscription)
    return {name: topics.by_name[name] for name in sorted(names) if name in topics.by_name}


def metadata_hash(subscribed: Mapping[str, ExistingTopic]) -> int:
    """Return a number that differs when a topic has come, gone or grown (KIP-1101).

    It is ours, not Kafka's: whoever opens the directory with the other finds that it differs, and
    makes an assignment anew, which leaves everything where it is.
    """
    if not subscribed:
        return NO_TOPICS_HASH
    hashed = hashlib.blake2b(digest_size=8)
    for name, topic in subscribed.items():
        hashed.update(f"{name}:{topic.topic_id.hex}:{topic.partitions};".encode())
    return int.from_bytes(hashed.digest(), signed=True)


def subscribers(
    state: ConsumerGroupState, subscribed: Mapping[str, ExistingTopic]
) -> dict[str, Subscriber]:
    """Return the members as assignors want them.

    A member holds what it was to have; and what it still has, if that is promised to nobody: so who
    comes and goes before anyone has moved makes nobody move.
    """
    promised = NO_PARTITIONS.union(*state.targets.values())
    of_subscription: dict[frozenset[str], frozenset[UUID]] = {}
    found = {}
    for member_id, member in state.members.items():
        names = state.topics_of(member.subscription)
        if names not in of_subscription:
            of_subscription[names] = frozenset(
                subscribed[name].topic_id for name in names if name in subscribed
            )
        found[member_id] = Subscriber(
            topic_ids=of_subscription[names],
            held=state.target_of(member_id) | (member.current.at_work - promised),
            instance_id=member.subscription.instance_id,
        )
    return found
