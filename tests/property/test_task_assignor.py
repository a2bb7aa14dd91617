"""Sharing out tasks against the slow and obvious: every way to do it, and what must hold of any."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from millpond.streams.engine.assignor import (
    Given,
    TaskId,
    Told,
    decode_given,
    decode_told,
    encode_given,
    encode_told,
    share_out,
)

Owners = dict[TaskId, str]
FAR = 1_000_000


@st.composite
def groups(
    draw: st.DrawFn, *, workers_max: int, tasks_max: int, alike: bool, twice: bool = False
) -> dict[str, Told]:
    """What the workers of a group tell after any history, some of it for tasks that are no more."""
    names = draw(
        st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1, max_size=workers_max)
    )
    left = tasks_max
    common: dict[str, int] = {}
    for subtopology in "xyz":
        common[subtopology] = draw(st.integers(0, min(left, tasks_max // 2)))
        left -= common[subtopology]
    stateful = frozenset(draw(st.sets(st.sampled_from("xyz"))))
    running: dict[str, set[TaskId]] = {name: set() for name in names}
    warm: dict[str, dict[TaskId, int]] = {name: {} for name in names}
    claims = [[], *([name] for name in names for _ in range(2)), *([names] if twice else [])]
    for task in every_task(common):
        for runner in draw(st.sampled_from(claims)):
            running[runner].add(task)
            warm[runner][task] = FAR
        for holder in draw(st.lists(st.sampled_from(names), unique=True, max_size=2)):
            warm[holder].setdefault(task, draw(st.integers(0, 3)))
    return {
        name: Told(
            tasks=common
            if alike
            else {
                key: draw(st.sampled_from([0, n, n, max(0, n - 1)])) for key, n in common.items()
            },
            stateful=stateful,
            running=frozenset(running[name]),
            warm=warm[name],
            directory=draw(st.sampled_from([name, name, "shared"])),
            standby_replicas=draw(st.integers(0, 2)),
        )
        for name in names
    }


def every_task(tasks: Mapping[str, int]) -> list[TaskId]:
    return [TaskId(key, partition) for key, number in tasks.items() for partition in range(number)]


def known(told: Mapping[str, Told]) -> dict[TaskId, list[str]]:
    """Return who knows each task."""
    found: dict[TaskId, list[str]] = {}
    for name, each in told.items():
        for task in every_task(each.tasks):
            found.setdefault(task, []).append(name)
    return found


def check(told: Mapping[str, Told], result: Mapping[str, Given]) -> None:
    """Assert what must hold of any answer, be it the last or not."""
    assert result.keys() == told.keys()
    for name, each in result.items():
        assert not each.active & each.standby
        for task in each.active | each.standby:
            assert task.partition < told[name].tasks[task.subtopology]
        for task in each.active:
            claimants = [other for other in told if task in told[other].running]
            assert claimants in ([], [name]), "somebody else still runs it"
    runs = Counter(task for each in result.values() for task in each.active)
    assert not runs or max(runs.values()) == 1
    to_come = known(told).keys() - runs.keys()
    assert {each.handing_over for each in result.values()} == {bool(to_come)}


def next_told(told: Mapping[str, Told], result: Mapping[str, Given]) -> dict[str, Told]:
    """Return what workers tell once they have done what they were given to do."""
    return {
        name: replace(
            told[name],
            running=each.active,
            warm=dict(told[name].warm)
            | dict.fromkeys(each.active, 2 * FAR)
            | dict.fromkeys(each.standby, 2 * FAR),
        )
        for name, each in result.items()
    }


def settle(told: Mapping[str, Told]) -> tuple[dict[str, Told], dict[str, Given]]:
    """Share out twice, which must be enough; return what is told and given then."""
    first = share_out(told)
    check(told, first)
    once = next_told(told, first)
    second = share_out(once)
    check(once, second)
    for name, each in first.items():
        assert each.active <= second[name].active, "nothing is taken back that was just given"
    twice = next_told(once, second)
    third = share_out(twice)
    assert {name: each.active for name, each in third.items()} == {
        name: each.active for name, each in second.items()
    }
    return twice, second


def owners_of(result: Mapping[str, Given]) -> Owners:
    return {task: name for name, each in result.items() for task in each.active}


def price(told: Mapping[str, Told], owners: Owners) -> tuple[int, int, int]:
    """Return how uneven totals are, how uneven kinds of tasks are, and how many tasks move."""
    knowing = known(told)
    totals = Counter(owners.values())
    kinds = Counter((task.subtopology, str(knowing[task]), name) for task, name in owners.items())
    claims = [(task, name) for name in told for task in told[name].running if task in owners]
    claimed = Counter(task for task, _ in claims)
    moves = sum(owners[task] != name for task, name in claims if claimed[task] == 1)
    return squares(totals.values()), squares(kinds.values()), moves


def squares(counts: Iterable[int]) -> int:
    return sum(count * count for count in counts)


@settings(max_examples=80)
@given(
    told=st.one_of(
        groups(workers_max=3, tasks_max=6, alike=True, twice=True),
        groups(workers_max=3, tasks_max=6, alike=False, twice=True),
    )
)
def test_no_way_to_share_out_is_more_even_or_as_even_with_fewer_moves(
    told: dict[str, Told],
) -> None:
    _, result = settle(told)
    knowing = known(told)
    ways = (dict(zip(knowing, names, strict=True)) for names in product(*knowing.values()))
    assert price(told, owners_of(result)) == min(price(told, way) for way in ways)


@settings(max_examples=30)
@given(told=groups(workers_max=8, tasks_max=30, alike=True))
def test_workers_that_are_alike_run_as_many_tasks_of_each_subtopology_give_or_take_one(
    told: dict[str, Told],
) -> None:
    _, result = settle(told)
    owners = owners_of(result)
    assert owners.keys() == known(told).keys()
    for counts in (
        [len(each.active) for each in result.values()],
        *(
            [sum(task.subtopology == key for task in each.active) for each in result.values()]
            for key in "xyz"
        ),
    ):
        assert max(counts) - min(counts) <= 1


@settings(max_examples=30)
@given(told=groups(workers_max=8, tasks_max=30, alike=False, twice=True))
def test_workers_that_differ_run_whatever_one_of_them_knows(told: dict[str, Told]) -> None:
    _, result = settle(told)
    assert owners_of(result).keys() == known(told).keys()


@settings(max_examples=30)
@given(tasks=st.integers(0, 60), workers=st.integers(2, 8))
def test_one_that_joins_or_leaves_moves_only_what_it_must(tasks: int, workers: int) -> None:
    cold = {str(number): Told({"x": tasks}, directory=str(number)) for number in range(workers)}
    told, before = settle(cold)
    joined, after = settle(told | {"new": Told({"x": tasks}, directory="new")})
    moved = {task for task, name in owners_of(after).items() if owners_of(before)[task] != name}
    assert moved == after["new"].active
    assert len(moved) == tasks // (workers + 1)
    del joined["0"]
    _, last = settle(joined)
    moved = {task for task, name in owners_of(last).items() if owners_of(after)[task] != name}
    assert moved == after["0"].active


@settings(max_examples=40)
@given(told=groups(workers_max=6, tasks_max=20, alike=False))
def test_copies_are_in_as_many_other_directories_as_are_wanted_and_can_be(
    told: dict[str, Told],
) -> None:
    told, result = settle(told)
    copies: dict[TaskId, list[str]] = {}
    for name, each in result.items():
        for task in each.standby:
            assert task.subtopology in told[name].stateful
            copies.setdefault(task, []).append(told[name].directory)
    for task, owner in owners_of(result).items():
        knowing = [told[name] for name in known(told)[task]]
        others = {each.directory for each in knowing} - {told[owner].directory}
        wanted = max(each.standby_replicas for each in knowing)
        found = copies.pop(task, [])
        assert len(found) == len(set(found)), "one directory, one copy"
        assert set(found) <= others
        stateful = task.subtopology in told[owner].stateful
        assert len(found) == (min(wanted, len(others)) if stateful else 0)
    assert not copies


@settings(max_examples=25)
@given(told=groups(workers_max=5, tasks_max=12, alike=False, twice=True), data=st.data())
def test_the_order_in_which_workers_and_tasks_are_named_does_not_matter(
    told: dict[str, Told], data: st.DataObject
) -> None:
    shuffled = {
        name: replace(
            told[name],
            tasks=dict(reversed(told[name].tasks.items())),
            warm=dict(reversed(told[name].warm.items())),
        )
        for name in data.draw(st.permutations(list(told)))
    }
    assert share_out(shuffled) == share_out(told)


@settings(max_examples=25)
@given(told=groups(workers_max=3, tasks_max=12, alike=False))
def test_what_is_told_and_given_arrives_as_it_was_sent(told: dict[str, Told]) -> None:
    for each in told.values():
        assert decode_told(encode_told(each)) == each
    for result in share_out(told).values():
        assert decode_given(encode_given(result)) == result
