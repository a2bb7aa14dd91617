"""Assignors against the slow and obvious: every way to assign, and what must hold of any."""

from collections import Counter
from itertools import product
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from millpond.log.coordinator.assignors import (
    ASSIGNORS,
    Members,
    Partitions,
    Subscriber,
    TopicIdPartition,
    range_,
    uniform,
)

TOPICS = [UUID(int=number) for number in range(1, 5)]


def all_of(counts: dict[UUID, int]) -> set[TopicIdPartition]:
    return {TopicIdPartition(topic, n) for topic, count in counts.items() for n in range(count)}


@st.composite
def groups(
    draw: st.DrawFn, *, alike: bool, partitions_max: int = 6, members_max: int = 5
) -> tuple[Members, dict[UUID, int]]:
    """A group after any history: what members hold need not fit what they want, or even exist."""
    topics = draw(st.lists(st.sampled_from(TOPICS), unique=True, max_size=4))
    counts = {topic: draw(st.integers(0, partitions_max)) for topic in topics}
    names = draw(st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=members_max))
    subscription = st.frozensets(st.sampled_from(TOPICS))
    common = draw(subscription)
    held_by: dict[str, set[TopicIdPartition]] = {name: set() for name in names}
    for topic in TOPICS:
        for number in range(partitions_max + 1):
            holder = draw(st.sampled_from([None, *names]))
            if holder is not None:
                held_by[holder].add(TopicIdPartition(topic, number))
    return {
        name: Subscriber(
            topic_ids=common if alike else draw(subscription),
            held=frozenset(held_by[name]),
            instance_id=draw(st.sampled_from([None, f"instance-{name}"])),
        )
        for name in names
    }, counts


def check_valid(members: Members, counts: dict[UUID, int], result: dict[str, Partitions]) -> None:
    assert result.keys() == members.keys()
    given_out = Counter(each for partitions in result.values() for each in partitions)
    wanted = {topic for member in members.values() for topic in member.topic_ids}
    assert given_out == Counter(each for each in all_of(counts) if each.topic_id in wanted)
    for name, partitions in result.items():
        assert {each.topic_id for each in partitions} <= members[name].topic_ids


def kept(members: Members, result: dict[str, Partitions]) -> int:
    return sum(len(result[name] & member.held) for name, member in members.items())


@settings(max_examples=40)
@given(st.sampled_from(sorted(ASSIGNORS)), st.booleans(), st.data())
def test_each_partition_goes_to_one_subscriber(name: str, alike: bool, data: st.DataObject) -> None:
    members, counts = data.draw(groups(alike=alike))
    check_valid(members, counts, ASSIGNORS[name](members, counts))


@settings(max_examples=40)
@given(st.sampled_from(sorted(ASSIGNORS)), st.booleans(), st.data())
def test_an_assignment_does_not_depend_on_the_order_of_members(
    name: str, alike: bool, data: st.DataObject
) -> None:
    members, counts = data.draw(groups(alike=alike))
    shuffled = dict(data.draw(st.permutations(list(members.items()))))
    assert ASSIGNORS[name](members, counts) == ASSIGNORS[name](shuffled, counts)


@settings(max_examples=40)
@given(st.sampled_from(sorted(ASSIGNORS)), st.booleans(), st.data())
def test_what_is_assigned_well_stays_as_it_is(name: str, alike: bool, data: st.DataObject) -> None:
    members, counts = data.draw(groups(alike=alike))
    first = ASSIGNORS[name](members, counts)
    settled = {
        name: Subscriber(member.topic_ids, first[name], member.instance_id)
        for name, member in members.items()
    }
    assert ASSIGNORS[name](settled, counts) == first


@settings(max_examples=40)
@given(groups(alike=True))
def test_uniform_balances_within_one_and_moves_no_more_than_it_must(
    group: tuple[Members, dict[UUID, int]],
) -> None:
    members, counts = group
    result = uniform(members, counts)
    loads = [len(partitions) for partitions in result.values()]
    assert max(loads, default=0) - min(loads, default=0) <= 1
    if not members:
        return
    had = {
        name: sum(
            each.topic_id in member.topic_ids and each.partition < counts.get(each.topic_id, 0)
            for each in member.held
        )
        for name, member in members.items()
    }
    least, more = divmod(sum(loads), len(members))
    best = max(
        sum(min(had[name], least + extra) for name, extra in zip(members, extras, strict=True))
        for extras in product((0, 1), repeat=len(members))
        if sum(extras) == more
    )
    assert kept(members, result) == best


@given(groups(alike=False, partitions_max=2, members_max=3))
@settings(max_examples=40)
def test_uniform_balances_different_subscriptions_as_well_as_can_be(
    group: tuple[Members, dict[UUID, int]],
) -> None:
    members, counts = group
    result = uniform(members, counts)
    takers = [
        [name for name, member in members.items() if each.topic_id in member.topic_ids]
        for each in sorted(all_of(counts))
    ]
    possible = product(*(able for able in takers if able))
    best = min(sum(load**2 for load in Counter(way).values()) for way in possible)
    assert sum(len(partitions) ** 2 for partitions in result.values()) == best


@settings(max_examples=40)
@given(st.booleans(), st.data())
def test_range_keeps_alike_topics_together_and_balances_each(
    alike: bool, data: st.DataObject
) -> None:
    members, counts = data.draw(groups(alike=alike))
    result = range_(members, counts)
    for one in counts:
        takers = [name for name, member in members.items() if one in member.topic_ids]
        of_topic = {
            name: {each.partition for each in result[name] if each.topic_id == one}
            for name in takers
        }
        loads = [len(partitions) for partitions in of_topic.values()]
        assert max(loads, default=0) - min(loads, default=0) <= 1
        for other in counts:
            also = [name for name, member in members.items() if other in member.topic_ids]
            if counts[one] == counts[other] and takers == also:
                for name in takers:
                    assert of_topic[name] == {
                        each.partition for each in result[name] if each.topic_id == other
                    }


@given(st.integers(0, 12), st.data())
def test_range_moves_no_more_rows_than_it_must(rows: int, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1, max_size=5))
    holders = [data.draw(st.sampled_from([None, *names])) for _ in range(rows)]
    both = frozenset(TOPICS[:2])
    members = {
        name: Subscriber(
            both,
            frozenset(
                TopicIdPartition(topic, row)
                for row, holder in enumerate(holders)
                if holder == name
                for topic in both
            ),
        )
        for name in names
    }
    result = range_(members, dict.fromkeys(sorted(both), rows))
    least, more = divmod(rows, len(names))
    had = Counter(holder for holder in holders if holder is not None)
    best = max(
        sum(min(had[name], least + extra) for name, extra in zip(names, extras, strict=True))
        for extras in product((0, 1), repeat=len(names))
        if sum(extras) == more
    )
    assert kept(members, result) == 2 * best
