"""Members of consumer groups (KIP-848) as clients have them: what they own, and how they say it.

    anna = ConsumerMember(world, "readers", "anna", topics=["orders"])
    anna.beat()                       # joins; later tells what has changed since the last answer
    assert anna.shown == "orders: 0 1 2"

A member gives up what it is told to at once, and says so with its next heartbeat; `slow=True` makes it
keep partitions until `finish()`. An answer may be lost (`beat(lose_answer=True)`): then it tells
everything again, as clients do. What it says it has not got, it does not begin with any more, unless
it is told again: the group may have given it to another by then.
"""

from typing import Any
from uuid import UUID

from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.consumer_group_heartbeat import (
    CONSUMER_GROUP_HEARTBEAT,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    TopicPartitions,
)

from .node_world import NodeWorld

Owned = frozenset[tuple[UUID, int]]


class ConsumerMember:
    """One member, and what it has been told so far."""

    def __init__(
        self,
        world: NodeWorld,
        group: str,
        name: str,
        *,
        topics: list[str] | None = None,
        regex: str | None = None,
        instance: str | None = None,
        assignor: str | None = None,
        rebalance_timeout_ms: int = 60_000,
        slow: bool = False,
    ) -> None:
        self.world = world
        self.group = group
        self.name = name
        self.topics = topics
        self.regex = regex
        self.instance = instance
        self.assignor = assignor
        self.rebalance_timeout_ms = rebalance_timeout_ms
        self.slow = slow
        self.epoch = 0
        self.owned: Owned = frozenset()
        self.told: Owned = frozenset()
        self._said: Owned | None = None
        self._tells_everything = True

    def beat(self, *, lose_answer: bool = False) -> ConsumerGroupHeartbeatResponse:
        """Send one heartbeat, and do what the answer says."""
        news = self._news()
        if "topic_partitions" in news:
            self.told &= self.owned
        answer = self.ask(**news)
        if lose_answer:
            self._tells_everything = True
            return answer
        error = ErrorCode(answer.error_code)
        if error in (ErrorCode.FENCED_MEMBER_EPOCH, ErrorCode.UNKNOWN_MEMBER_ID):
            self.forget()
        if error is not ErrorCode.NONE:
            return answer
        self._tells_everything = False
        self._said = self.owned
        self.epoch = answer.member_epoch
        if answer.assignment is not None:
            self.told = frozenset(
                (topic.topic_id, partition)
                for topic in answer.assignment.response_topic_partitions
                for partition in topic.partitions
            )
        if not self.slow:
            self.finish()
        return answer

    def finish(self) -> None:
        """Give up what is to be given up, and begin with what is new."""
        self.owned = self.told

    def tell_everything(self) -> None:
        """Do not know what the last heartbeat came to, so say everything with the next one."""
        self._tells_everything = True

    def forget(self) -> None:
        """Give up everything, and be about to join."""
        self.epoch, self.owned, self.told, self._said = 0, frozenset(), frozenset(), None
        self._tells_everything = True

    def subscribe(self, *, topics: list[str] | None = None, regex: str | None = None) -> None:
        """Want other topics from the next heartbeat on."""
        self.topics, self.regex = topics, regex
        self._tells_everything = True

    def leave(self, epoch: int = -1) -> ConsumerGroupHeartbeatResponse:
        """Give up everything and go; with epoch -2, for a while."""
        answer = self.ask(member_epoch=epoch)
        self.forget()
        return answer

    def ask(self, *, version: int = 1, **fields: Any) -> ConsumerGroupHeartbeatResponse:
        """Send a heartbeat with these fields, and the usual ones."""
        usual = {
            "group_id": self.group,
            "member_id": self.name,
            "member_epoch": self.epoch,
            "instance_id": self.instance,
        }
        request = ConsumerGroupHeartbeatRequest(**(usual | fields))
        return self.world.ask(CONSUMER_GROUP_HEARTBEAT, version, request)

    @property
    def shown(self) -> str:
        """Return what the member owns, for people."""
        names = {
            topic.topic_id: name for name, topic in self.world.node.broker.metadata.topics.items()
        }
        of_topic: dict[str, list[int]] = {}
        for topic_id, partition in self.owned:
            of_topic.setdefault(names.get(topic_id, "?"), []).append(partition)
        return ", ".join(
            f"{name}: {' '.join(map(str, sorted(of_topic[name])))}" for name in sorted(of_topic)
        )

    def _news(self) -> dict[str, Any]:
        if self._tells_everything:
            return {
                "rebalance_timeout_ms": self.rebalance_timeout_ms,
                "subscribed_topic_names": self.topics or [],
                "subscribed_topic_regex": self.regex or "",
                "server_assignor": self.assignor,
                "topic_partitions": as_request(self.owned),
            }
        if self.owned != self._said:
            return {"topic_partitions": as_request(self.owned)}
        return {}


def as_request(owned: Owned) -> list[TopicPartitions]:
    """Say what a member owns, as a heartbeat does."""
    of_topic: dict[UUID, list[int]] = {}
    for topic_id, partition in sorted(owned):
        of_topic.setdefault(topic_id, []).append(partition)
    return [
        TopicPartitions(topic_id=topic_id, partitions=partitions)
        for topic_id, partitions in of_topic.items()
    ]


def settle(*members: ConsumerMember, rounds: int = 10) -> None:
    """Let all members send heartbeats until nothing changes any more."""
    for _ in range(rounds):
        before = [(member.epoch, member.owned) for member in members]
        for member in members:
            member.beat()
        if [(member.epoch, member.owned) for member in members] == before:
            return
    raise AssertionError(f"not settled: {[(each.name, each.shown) for each in members]}")
