"""What assignors make of groups that one knows by heart."""

from uuid import UUID

from millpond.log.coordinator.assignors import (
    Partitions,
    Subscriber,
    TopicIdPartition,
    range_,
    uniform,
)

A, B, C = (UUID(int=number) for number in (1, 2, 3))


def shown(result: dict[str, Partitions]) -> dict[str, str]:
    names = {A: "a", B: "b", C: "c"}
    return {
        member: " ".join(f"{names[topic]}{number}" for topic, number in sorted(partitions))
        for member, partitions in result.items()
    }


def some(*named: tuple[UUID, int]) -> Partitions:
    return frozenset(TopicIdPartition(topic, number) for topic, number in named)


def test_a_new_group_under_uniform_spreads_each_topic() -> None:
    wants = Subscriber(frozenset({A, B}))
    assert shown(uniform({"m1": wants, "m2": wants}, {A: 3, B: 3})) == {
        "m1": "a0 a2 b1",
        "m2": "a1 b0 b2",
    }


def test_a_new_group_under_range_has_kafkas_ranges() -> None:
    wants = Subscriber(frozenset({A, B}))
    assert shown(range_({"m1": wants, "m2": wants}, {A: 3, B: 3})) == {
        "m1": "a0 a1 b0 b1",
        "m2": "a2 b2",
    }


def test_a_second_member_gets_its_share_and_the_first_keeps_the_rest() -> None:
    wants = frozenset({A})
    first = uniform({"m2": Subscriber(wants)}, {A: 5})
    members = {"m1": Subscriber(wants), "m2": Subscriber(wants, first["m2"])}
    assert shown(uniform(members, {A: 5})) == {"m1": "a3 a4", "m2": "a0 a1 a2"}
    assert shown(range_(members, {A: 5})) == {"m1": "a3 a4", "m2": "a0 a1 a2"}


def test_a_member_that_goes_leaves_the_others_what_they_have() -> None:
    wants = frozenset({A})
    members = {
        "m1": Subscriber(wants, some((A, 0), (A, 4))),
        "m3": Subscriber(wants, some((A, 2), (A, 5))),
    }
    assert shown(uniform(members, {A: 6})) == {"m1": "a0 a1 a4", "m3": "a2 a3 a5"}
    assert shown(range_(members, {A: 6})) == {"m1": "a0 a1 a4", "m3": "a2 a3 a5"}


def test_under_range_a_topic_that_comes_later_follows_its_like() -> None:
    members = {
        "m1": Subscriber(frozenset({A, B}), some((A, 1), (A, 3))),
        "m2": Subscriber(frozenset({A, B}), some((A, 0), (A, 2))),
    }
    assert shown(range_(members, {A: 4, B: 4})) == {"m1": "a1 a3 b1 b3", "m2": "a0 a2 b0 b2"}


def test_under_range_who_got_more_of_one_size_gets_less_of_another() -> None:
    wants = Subscriber(frozenset({A, B}))
    assert shown(range_({"m1": wants, "m2": wants}, {A: 3, B: 1})) == {
        "m1": "a0 a1",
        "m2": "a2 b0",
    }


def test_uniform_finds_a_way_round() -> None:
    """m1 can give only to m2, which must give to m3 so that all are equal."""
    members = {
        "m1": Subscriber(frozenset({A}), some((A, 0), (A, 1), (A, 2))),
        "m2": Subscriber(frozenset({A, B}), some((B, 0), (B, 1))),
        "m3": Subscriber(frozenset({B}), some((B, 2))),
    }
    assert shown(uniform(members, {A: 3, B: 3})) == {"m1": "a0 a1", "m2": "a2 b0", "m3": "b1 b2"}


def test_a_static_member_with_another_id_keeps_its_place() -> None:
    wants = frozenset({A})
    before = {"zoe": Subscriber(wants, instance_id="i1"), "ann": Subscriber(wants)}
    after = {"amy": Subscriber(wants, instance_id="i1"), "ann": Subscriber(wants)}
    assert uniform(before, {A: 3})["zoe"] == uniform(after, {A: 3})["amy"]
    assert range_(before, {A: 3})["zoe"] == range_(after, {A: 3})["amy"]


def test_more_members_than_partitions_leave_some_without() -> None:
    wants = Subscriber(frozenset({A}))
    members = {"m1": wants, "m2": wants, "m3": wants}
    assert shown(uniform(members, {A: 2})) == {"m1": "a0", "m2": "a1", "m3": ""}
    assert shown(range_(members, {A: 2})) == {"m1": "a0", "m2": "a1", "m3": ""}
