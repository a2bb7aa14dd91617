"""A consumer group under random members, topics, time, lost answers and power cuts.

What must hold at every moment: no partition is at work at two members at once; epochs only grow, as
long as there is the group, which is forgotten when it has been empty for a while; what is replayed
after a power cut is what was answered. And when things are quiet, everything is assigned to who wants
it, and nobody waits for anything.

A member here is what a client is (`twins/consumer_members.py`): it owns what it has been told and not
yet given up, it repeats what got no answer, and it gives everything up when it has not been answered
for a session. One that the group has removed does not count: it is told with its next heartbeat.
"""

from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from millpond.log.coordinator.consumer_group import ConsumerGroup
from millpond.log.coordinator.consumer_group_member import LEAVING_FOR_A_WHILE, Member
from millpond.log.coordinator.consumer_group_state import ConsumerGroupState
from millpond.log.wire.api import Api
from millpond.log.wire.error_codes import ErrorCode
from millpond.tests.twins.consumer_members import ConsumerMember
from millpond.tests.twins.slow_disk_world import SlowDiskWorld

TOPICS = ["a", "b", "c"]
SESSION_MS = 10_000
REBALANCE_MS = 4_000
HEARTBEAT_MS = 1_000
GROUP = "readers"


class World(SlowDiskWorld):
    """Each request comes to its end at once, unless the power goes before."""

    power_fails = False
    torn_seed: int | None = None

    def ask(self, api: Api[Any, Any], version: int, request: Any, **options: Any) -> Any:
        asked = self.send(api, version, request, **options)
        if self.power_fails:
            self.power_fails = False
            self.cut_power(lose_unsynced=True, torn_seed=self.torn_seed)
            raise ConnectionError
        while not asked.done:
            self.sync(asked)
        return asked.response


class Client(ConsumerMember):
    """A member that knows when it was last answered."""

    heard_ms = 0

    def is_of_the_group(self, state: ConsumerGroupState) -> bool:
        known = state.members.get(self.name)
        return known is not None and known.current.member_epoch != LEAVING_FOR_A_WHILE


subscriptions = st.one_of(
    st.fixed_dictionaries({"topics": st.lists(st.sampled_from(TOPICS), unique=True)}),
    st.fixed_dictionaries({"regex": st.sampled_from([".*", "a|b", "[bc]", "x"])}),
)


class ConsumerGroups(RuleBasedStateMachine):
    """The group, its members, and what was seen of it before."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(
            settings={
                "group.consumer.session.timeout.ms": str(SESSION_MS),
                "group.consumer.heartbeat.interval.ms": str(HEARTBEAT_MS),
            }
        )
        self.clients: list[Client] = []
        self.gone: dict[str, list[str]] = {}
        self.count = 0
        self.group_epoch = 0
        self.assignment_epoch = 0

    @initialize(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3))
    def begin(self, sizes: list[int]) -> None:
        for name, size in zip(TOPICS, sizes, strict=False):
            self.world.create(name, size)

    # -- members -------------------------------------------------------------------------------

    @precondition(lambda self: len(self.clients) < 5)
    @rule(
        wants=subscriptions,
        assignor=st.sampled_from([None, "uniform", "range"]),
        slow=st.booleans(),
        static=st.booleans(),
    )
    def join(self, wants: dict[str, Any], assignor: str | None, slow: bool, static: bool) -> None:
        self.count += 1
        instance = f"i{self.count}" if static else None
        self.add(instance, assignor=assignor, slow=slow, **wants)

    @precondition(lambda self: self.gone)
    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        instance = data.draw(st.sampled_from(sorted(self.gone)))
        topics = self.gone.pop(instance)
        self.count += 1
        self.add(instance, topics=topics)

    def add(self, instance: str | None, **wants: Any) -> None:
        client = Client(
            self.world,
            GROUP,
            f"m{self.count}",
            instance=instance,
            rebalance_timeout_ms=REBALANCE_MS,
            **wants,
        )
        self.clients.append(client)
        self.beat(client)

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def heartbeat(self, data: st.DataObject) -> None:
        self.beat(data.draw(st.sampled_from(self.clients)))

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def heartbeat_whose_answer_is_lost(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.clients)).beat(lose_answer=True)

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def first_heartbeat_that_comes_late(self, data: st.DataObject) -> None:
        """It was sent over a connection that is given up; its answer goes nowhere."""
        client = data.draw(st.sampled_from(self.clients))
        if client.epoch > 0 and client.is_of_the_group(self.state):
            client.ask(
                member_epoch=0,
                rebalance_timeout_ms=REBALANCE_MS,
                subscribed_topic_names=client.topics or [],
                subscribed_topic_regex=client.regex or "",
                topic_partitions=[],
            )

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), torn_seed=st.none() | st.integers(0, 99))
    def heartbeat_and_power_cut(self, data: st.DataObject, torn_seed: int | None) -> None:
        client = data.draw(st.sampled_from(self.clients))
        self.world.power_fails, self.world.torn_seed = True, torn_seed
        try:
            client.beat(lose_answer=True)
        except ConnectionError:
            client.tell_everything()
        self.world.power_fails = False

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.clients)).finish()

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), wants=subscriptions)
    def change_ones_mind(self, data: st.DataObject, wants: dict[str, Any]) -> None:
        data.draw(st.sampled_from(self.clients)).subscribe(**wants)

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def forget_and_join_again(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.clients)).forget()

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        client = data.draw(st.sampled_from(self.clients))
        self.clients.remove(client)
        client.leave()

    @precondition(lambda self: any(client.instance for client in self.clients))
    @rule(data=st.data())
    def leave_for_a_while(self, data: st.DataObject) -> None:
        client = data.draw(st.sampled_from([each for each in self.clients if each.instance]))
        self.clients.remove(client)
        if client.leave(-2).error_code == ErrorCode.NONE:
            assert client.instance is not None
            self.gone[client.instance] = client.topics or []

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        self.clients.remove(data.draw(st.sampled_from(self.clients)))

    def beat(self, client: Client) -> None:
        answer = client.beat()
        error = ErrorCode(answer.error_code)
        if error is ErrorCode.NONE:
            client.heard_ms = self.world.clock.ticks_ms
        else:
            assert error in (
                ErrorCode.FENCED_MEMBER_EPOCH,
                ErrorCode.UNKNOWN_MEMBER_ID,
                ErrorCode.GROUP_ID_NOT_FOUND,
                ErrorCode.UNRELEASED_INSTANCE_ID,
                ErrorCode.FENCED_INSTANCE_ID,
            )
            client.forget()

    # -- the world -----------------------------------------------------------------------------

    @rule(ms=st.sampled_from([500, HEARTBEAT_MS, REBALANCE_MS, SESSION_MS // 2]))
    def time_passes(self, ms: int) -> None:
        self.world.sleep(ms)
        for client in self.clients:
            if client.heard_ms + SESSION_MS <= self.world.clock.ticks_ms:
                client.forget()

    @rule(name=st.sampled_from(TOPICS), size=st.integers(1, 4))
    def change_topics(self, name: str, size: int) -> None:
        topic = self.world.node.broker.metadata.topics.get(name)
        if topic is None:
            self.world.create(name, size)
        elif size > topic.partitions:
            self.world.grow(name, size)
        elif size == 1:
            self.world.remove(name)

    @rule(lose_unsynced=st.booleans())
    def restart(self, lose_unsynced: bool) -> None:
        before = self.told_of(self.state)
        self.world.cut_power(lose_unsynced=lose_unsynced)
        assert self.told_of(self.state) == before

    @rule()
    def quiet(self) -> None:
        """Nothing happens any more but heartbeats; those who are away are given up."""
        for client in self.clients:
            client.slow = False
            client.finish()
        self.gone.clear()
        for _ in range(2 * SESSION_MS // HEARTBEAT_MS + 10):
            for client in self.clients:
                self.beat(client)
            self.time_passes(HEARTBEAT_MS)
            self.at_any_time()
        state = self.state
        assert state.members.keys() == {client.name for client in self.clients}
        assert state.name == ("Stable" if self.clients else "Empty")
        owned = Counter(each for client in self.clients for each in client.owned)
        wanted = Counter(
            (topic.topic_id, number)
            for name, topic in self.world.node.broker.metadata.topics.items()
            if any(name in state.topics_of(each.subscription) for each in state.members.values())
            for number in range(topic.partitions)
        )
        assert owned == wanted
        for client in self.clients:
            assert client.owned == state.target_of(client.name)

    # -- what must hold ------------------------------------------------------------------------

    @property
    def state(self) -> ConsumerGroupState:
        group = self.world.node.groups.get(GROUP)
        return group.state if isinstance(group, ConsumerGroup) else ConsumerGroupState()

    def told_of(self, state: ConsumerGroupState) -> tuple[object, ...]:
        topics = {name: pattern.topics for name, pattern in state.patterns.items()}
        epochs = state.group_epoch, state.metadata_hash, state.assignment_epoch
        return epochs, state.members, state.targets, topics

    @invariant()
    def at_any_time(self) -> None:
        state = self.state
        at_work = Counter(
            each
            for client in self.clients
            if client.is_of_the_group(state)
            for each in client.owned
        )
        assert not [each for each, count in at_work.items() if count > 1]
        held = Counter(each for member in state.members.values() for each in all_of(member))
        assert not [each for each, count in held.items() if count > 1]
        assert all(not state.is_free_for("somebody else", each) for each in held)
        if self.world.node.groups.get(GROUP) is None:
            self.group_epoch, self.assignment_epoch = 0, 0
        assert state.group_epoch >= self.group_epoch
        assert self.assignment_epoch <= state.assignment_epoch <= state.group_epoch
        self.group_epoch, self.assignment_epoch = state.group_epoch, state.assignment_epoch


def all_of(member: Member) -> list[tuple[object, int]]:
    return [*member.current.assigned, *member.current.revoking]


ConsumerGroups.TestCase.settings = settings(max_examples=15, stateful_step_count=40, deadline=None)
TestConsumerGroups = ConsumerGroups.TestCase


@pytest.mark.long
def test_long_lives_of_consumer_groups() -> None:
    run_state_machine_as_test(
        ConsumerGroups, settings=settings(max_examples=500, stateful_step_count=80, deadline=None)
    )
