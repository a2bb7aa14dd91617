"""A heartbeat's records may be so many that a crash keeps only the first of them: nobody gets stuck.

Here a group is driven without a broker, so that its records can be cut anywhere.
"""

from uuid import UUID

import pytest
from millpond.log.broker.metadata import Topic
from millpond.log.config import TopicConfig
from millpond.log.coordinator.consumer_group import ConsumerGroup, replay_consumer_group
from millpond.log.coordinator.group import Changes, Group, Instant, T
from millpond.log.coordinator.subscribed_topics import ExistingTopics
from millpond.log.model import NewRecord
from millpond.log.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)

TOPIC = UUID(int=7)
TOPICS = ExistingTopics(
    {"orders": Topic("orders", TOPIC, 4, TopicConfig.parse({}, topic="orders"))}, 1
)
SESSION_MS = 45_000


class Coordinator:
    """A group, its records, and a clock."""

    def __init__(self, records: list[NewRecord]) -> None:
        self.records = records
        self.ms = 0
        groups: dict[str, Group] = {}
        for record in records:
            assert record.key is not None
            replay_consumer_group(groups, record.key, record.value)
        found = groups.get("readers")
        self.group = found if isinstance(found, ConsumerGroup) else ConsumerGroup("readers")
        self.group.resume(self.now)

    @property
    def now(self) -> Instant:
        return Instant(1_000_000 + self.ms, self.ms)

    def write(self, changes: Changes[T]) -> T:
        while True:
            try:
                self.records += next(changes)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]

    def join(self, name: str) -> ConsumerGroupHeartbeatResponse:
        request = ConsumerGroupHeartbeatRequest(
            group_id="readers",
            member_id=name,
            member_epoch=0,
            rebalance_timeout_ms=60_000,
            subscribed_topic_names=["orders"],
            topic_partitions=[],
        )
        return self.write(self.group.heartbeat(request, "", "", TOPICS, self.now))

    def leave(self, name: str) -> None:
        request = ConsumerGroupHeartbeatRequest(group_id="readers", member_id=name, member_epoch=-1)
        self.write(self.group.leave(request, self.now))

    def everyone_but_these_is_gone(self, *names: str) -> None:
        self.ms += SESSION_MS - 1
        for name in names:
            self.join(name)
        self.ms += 1
        self.write(self.group.on_time(self.now))


def partitions(answer: ConsumerGroupHeartbeatResponse) -> list[int]:
    assert answer.assignment is not None
    return [
        each for topic in answer.assignment.response_topic_partitions for each in topic.partitions
    ]


@pytest.mark.parametrize("kept", range(6))
def test_of_a_first_join(kept: int) -> None:
    before = Coordinator([])
    before.join("anna")
    assert len(before.records) == 5
    after = Coordinator(before.records[:kept])
    assert partitions(after.join("anna")) == [0, 1, 2, 3]


@pytest.mark.parametrize("kept", range(7))
def test_of_a_second_join(kept: int) -> None:
    before = Coordinator([])
    before.join("anna")
    count = len(before.records)
    before.join("bert")
    assert len(before.records) == count + 6
    after = Coordinator(before.records[: count + kept])
    after.join("bert")
    assert len(after.group.state.target_of("bert")) == 2
    after.everyone_but_these_is_gone("bert")
    assert partitions(after.join("bert")) == [0, 1, 2, 3]


@pytest.mark.parametrize("kept", range(5))
def test_of_a_removal(kept: int) -> None:
    before = Coordinator([])
    before.join("anna")
    before.join("bert")
    count = len(before.records)
    before.leave("anna")
    assert len(before.records) == count + 4
    after = Coordinator(before.records[: count + kept])
    after.everyone_but_these_is_gone("bert")
    assert partitions(after.join("bert")) == [0, 1, 2, 3]


@pytest.mark.parametrize("kept", range(5))
def test_of_the_removal_of_the_group_itself(kept: int) -> None:
    before = Coordinator([])
    before.join("anna")
    before.leave("anna")
    count = len(before.records)
    before.records += before.group.tombstones(before.now.timestamp)
    after = Coordinator(before.records[: count + kept])
    assert partitions(after.join("bert")) == [0, 1, 2, 3]
