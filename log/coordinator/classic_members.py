"""Who is in a classic group: its members, who of them leads, and what they can agree on.

A member names the protocols it supports (for consumers: assignment strategies), the preferred one
first. A protocol can be chosen only if all support it; each member votes for the first of those that
it names. A *static* member (KIP-345) has an instance id, which outlives its member id: who comes with
the same instance id takes the place of the one before.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ..errors import LogError
from ..wire.error_codes import ErrorCode
from .encoding import Fields

CONSUMER_PROTOCOL: Final = "consumer"
"""What consumers call the protocol type under which they share out partitions."""

REBALANCE_TIMEOUT_MS_MIN: Final = 100
"""However little time members ask for: who asks for none must not keep the coordinator busy."""


@dataclass(slots=True)
class Member:
    """One member: what it asked for, what it was given, and when its session is over."""

    member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocols: Mapping[str, bytes]
    assignment: bytes = b""
    is_new: bool = False
    """It has not got the answer to its first JoinGroup yet, and so may not know its id."""
    session_due_ms: int = 0


class Members:
    """All members of one group, the oldest first."""

    def __init__(self) -> None:
        self._by_id: dict[str, Member] = {}
        self._static: dict[str, str] = {}
        self._support: Counter[str] = Counter()
        self.leader: str | None = None

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._by_id.values()))

    def __contains__(self, member_id: str) -> bool:
        return member_id in self._by_id

    def __getitem__(self, member_id: str) -> Member:
        return self._by_id[member_id]

    def static_id(self, group_instance_id: str | None) -> str | None:
        """Return the member id of a static member."""
        return None if group_instance_id is None else self._static.get(group_instance_id)

    def check(self, member_id: str, group_instance_id: str | None) -> ErrorCode:
        """Say whether this is a member, and not one whose place another has taken."""
        if group_instance_id is not None:
            known = self._static.get(group_instance_id)
            if known is None:
                return ErrorCode.UNKNOWN_MEMBER_ID
            if known != member_id:
                return ErrorCode.FENCED_INSTANCE_ID
        return ErrorCode.NONE if member_id in self._by_id else ErrorCode.UNKNOWN_MEMBER_ID

    def rebalance_timeout_ms(self) -> int:
        """Return how long the slowest member may take to rejoin."""
        given = (member.rebalance_timeout_ms for member in self._by_id.values())
        return max(max(given, default=0), REBALANCE_TIMEOUT_MS_MIN)

    # -- coming and going ----------------------------------------------------------------------

    def add(self, member: Member) -> None:
        """Take in a member; the first one leads."""
        assert member.member_id not in self._by_id, member
        self._by_id[member.member_id] = member
        self._support.update(member.protocols.keys())
        if member.group_instance_id is not None:
            self._static[member.group_instance_id] = member.member_id
        if self.leader is None:
            self.leader = member.member_id

    def remove(self, member_id: str) -> None:
        """Let a member go; if it was the leader, the oldest one leads."""
        member = self._by_id.pop(member_id)
        self._support.subtract(member.protocols.keys())
        if member.group_instance_id is not None:
            del self._static[member.group_instance_id]
        if self.leader == member_id:
            self.leader = next(iter(self._by_id), None)

    def update(
        self,
        member: Member,
        *,
        protocols: Mapping[str, bytes],
        session_timeout_ms: int,
        rebalance_timeout_ms: int,
    ) -> None:
        """Note what a member asks for now."""
        self._support.subtract(member.protocols.keys())
        self._support.update(protocols.keys())
        member.protocols = protocols
        member.session_timeout_ms = session_timeout_ms
        member.rebalance_timeout_ms = rebalance_timeout_ms

    def replace(self, group_instance_id: str, member_id: str) -> Member:
        """Let a static member go on under another member id."""
        replaced = self._static[group_instance_id]
        member = self._by_id.pop(replaced)
        member.member_id = member_id
        self._by_id[member_id] = member
        self._static[group_instance_id] = member_id
        if self.leader == replaced:
            self.leader = member_id
        return member

    def elect(self, joined: Collection[str]) -> bool:
        """See to it that one who has joined leads; say whether there is one."""
        if self.leader not in joined:
            self.leader = next((known for known in self._by_id if known in joined), self.leader)
        return self.leader in joined

    # -- what they agree on --------------------------------------------------------------------

    def support_one_of(self, protocols: Collection[str]) -> bool:
        """Say whether one of these protocols is supported by all members."""
        return any(self._support[name] == len(self._by_id) for name in protocols)

    def chosen_protocol(self) -> str:
        """Return the protocol with the most votes; among equals the one that was voted for first."""
        common = {name for name, count in self._support.items() if count == len(self._by_id)}
        votes = Counter(
            next(name for name in member.protocols if name in common)
            for member in self._by_id.values()
        )
        return votes.most_common(1)[0][0]

    def subscribed_topics(self, protocol: str) -> frozenset[str] | None:
        """Return the topics that consumers subscribe to; None if one of them can't be understood."""
        try:
            return frozenset(
                topic
                for member in self._by_id.values()
                for topic in topics_of_subscription(member.protocols[protocol])
            )
        except (LogError, UnicodeDecodeError):
            return None


def topics_of_subscription(metadata: bytes) -> list[str]:
    """Read the topics from what a consumer sends as its metadata.

    All versions of that format begin with those of version 0: a version, and a list of topics.

    Raises:
        LogError: it is something else.
    """
    fields = Fields(metadata)
    fields.int16()
    return [fields.string() for _ in range(fields.int32())]
