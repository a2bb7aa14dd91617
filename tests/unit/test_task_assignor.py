"""Sharing out tasks, as told: workers that join, leave, come back, and are updated one by one."""

from dataclasses import replace

import pytest
from millpond.streams.engine.assignor import (
    Given,
    TaskId,
    Told,
    decode_given,
    decode_told,
    encode_told,
    share_out,
)
from millpond.streams.errors import ConfigError


def tasks(*partitions: int, of: str = "orders") -> frozenset[TaskId]:
    return frozenset(TaskId(of, partition) for partition in partitions)


def worker(directory: str, *running: int, partitions: int = 4, copies: int = 0) -> Told:
    """Return what a worker of a stateful app tells, that has the state of what it runs."""
    return Told(
        tasks={"orders": partitions},
        stateful=frozenset({"orders"}),
        running=tasks(*running),
        warm=dict.fromkeys(tasks(*running), 100),
        directory=directory,
        standby_replicas=copies,
    )


def test_one_worker_runs_everything() -> None:
    assert share_out({"a": worker("here")}) == {"a": Given(active=tasks(0, 1, 2, 3))}


def test_nobody_is_given_anything_where_nobody_is() -> None:
    assert share_out({}) == {}


def test_a_task_that_moves_is_withheld_until_its_runner_has_let_go() -> None:
    told = {"a": worker("A", 0, 1, 2, 3), "b": worker("B")}
    assert share_out(told) == {
        "a": Given(tasks(0, 1), handing_over=True),
        "b": Given(standby=tasks(2, 3), handing_over=True),
    }
    told["a"] = replace(told["a"], running=tasks(0, 1))  # warm with all four all the same
    assert share_out(told) == {"a": Given(tasks(0, 1)), "b": Given(tasks(2, 3))}


def test_who_waits_for_a_task_follows_its_state_unless_it_has_the_very_store() -> None:
    told = {"a": worker("A", 0, 1, 2, 3), "b": worker("B"), "c": worker("A")}
    result = share_out(told)
    assert result["b"].standby | result["c"].standby < tasks(0, 1, 2, 3)
    assert len(result["b"].standby) == 1
    assert not result["c"].standby


def test_who_has_most_of_the_state_is_next_to_run_a_task() -> None:
    told = {
        "b": replace(worker("B", 0), warm={TaskId("orders", 3): 90}),
        "c": replace(worker("C", 1), warm={TaskId("orders", 2): 90, TaskId("orders", 3): 10}),
    }
    assert share_out(told) == {"b": Given(tasks(0, 3)), "c": Given(tasks(1, 2))}


def test_what_moves_is_what_its_next_runner_has_the_state_of() -> None:
    told = {"a": worker("A", 0, 1, 2, 3), "b": replace(worker("B"), warm={TaskId("orders", 0): 99})}
    assert TaskId("orders", 0) not in share_out(told)["a"].active


def test_workers_with_nothing_to_run_are_given_nothing() -> None:
    result = share_out({name: worker(name, partitions=2) for name in "abcd"})
    assert sorted(len(each.active) for each in result.values()) == [0, 0, 1, 1]


def test_neither_of_two_that_say_they_run_a_task_goes_on_with_it() -> None:
    told = {"a": worker("A", 0, 1, 2), "b": worker("B", 2, 3)}
    assert share_out(told) == {
        "a": Given(tasks(0, 1), handing_over=True),
        "b": Given(tasks(3), handing_over=True),
    }
    told = {"a": worker("A", 0, 1), "b": worker("B", 3)}
    assert share_out(told) == {"a": Given(tasks(0, 1)), "b": Given(tasks(2, 3))}


def test_a_worker_is_only_given_what_it_knows() -> None:
    """A rolling update: the new app has one more subtopology, and twice the partitions."""
    old, new = Told({"orders": 2}), Told({"orders": 4, "totals": 1})
    result = share_out({"a": old, "b": old, "c": new})
    assert result["c"].active == tasks(2, 3) | tasks(0, of="totals")
    assert result["a"].active | result["b"].active == tasks(0, 1)


def test_a_task_is_taken_from_whoever_no_longer_knows_it() -> None:
    told = {"a": replace(worker("A", 0, 1), tasks={}), "b": worker("B", 2, 3)}
    assert share_out(told) == {
        "a": Given(handing_over=True),
        "b": Given(tasks(2, 3), standby=tasks(0, 1), handing_over=True),
    }
    told["a"] = replace(told["a"], running=frozenset())
    assert share_out(told) == {"a": Given(), "b": Given(tasks(0, 1, 2, 3))}


def test_copies_are_kept_in_another_directory_than_the_runners() -> None:
    told = {
        "a": worker("one machine", 0, 1, copies=1),
        "b": worker("one machine", 2, copies=1),
        "c": worker("another", 3, copies=1),
    }
    result = share_out(told)
    assert result["c"].standby == tasks(0, 1, 2)
    assert result["a"].standby | result["b"].standby == tasks(3)


def test_when_a_worker_is_gone_each_of_the_others_has_copies_of_what_it_is_given() -> None:
    """Though one of them was there first, and is warm with everything."""
    told = {
        "a": worker("A", 0, 1, 2, 3, copies=1, partitions=12),
        "b": worker("B", 4, 5, 6, 7, copies=1, partitions=12),
        "c": worker("C", 8, 9, 10, 11, copies=1, partitions=12),
    }
    told["b"] = replace(told["b"], warm=dict.fromkeys(tasks(*range(12)), 90))
    before = share_out(told)
    after = share_out({name: each for name, each in told.items() if name != "a"})
    for name in "bc":
        assert before[name].standby & tasks(0, 1, 2, 3) == after[name].active - told[name].running


def test_there_are_no_copies_where_there_is_one_directory() -> None:
    result = share_out({name: worker("shared", copies=2) for name in "ab"})
    assert not result["a"].standby | result["b"].standby


def test_there_are_no_copies_of_what_has_no_state() -> None:
    told = {name: replace(worker(name, copies=1), stateful=frozenset()) for name in "ab"}
    assert not any(each.standby for each in share_out(told).values())


def test_a_task_goes_to_its_copy_when_its_runner_is_gone_and_the_copy_to_whoever_had_it() -> None:
    told = {
        "b": replace(worker("B", 1, copies=1, partitions=2), warm={TaskId("orders", 1): 50}),
        "c": replace(worker("C", copies=1, partitions=2), warm={TaskId("orders", 0): 99}),
    }
    assert share_out(told) == {
        "b": Given(tasks(1), standby=tasks(0)),
        "c": Given(tasks(0), standby=tasks(1)),
    }


def test_who_must_stop_running_a_task_keeps_its_copy() -> None:
    told = {
        "a": worker("A", 0, 1, copies=1, partitions=2),
        "b": worker("B", copies=1, partitions=2),
    }
    result = share_out(told)
    moving = tasks(0, 1) - result["a"].active
    assert moving <= result["a"].standby


def test_bytes_of_a_later_version_ask_to_update_all_workers() -> None:
    with pytest.raises(ConfigError, match=r"begins with 2, .* writes 1: update all workers"):
        decode_told(b"\x02" + encode_told(worker("A"))[1:])


@pytest.mark.parametrize("data", [b"", b"\x00\x01"])
def test_bytes_that_no_worker_wrote_name_the_group(data: bytes) -> None:
    with pytest.raises(ConfigError, match="something else uses a group with the app's name"):
        decode_given(data)


def test_nothing_moves_where_all_is_even_however_many_subtopologies_there_are() -> None:
    """Dealing subtopology by subtopology would move one: only rings of exchanges show that none must."""
    every = {"x": 1, "y": 1, "z": 1}
    both = tasks(0, of="x") | tasks(0, of="y")
    told = {"a": Told(every, running=both), "b": Told(every, running=tasks(0, of="z"))}
    assert share_out(told) == {"a": Given(both), "b": Given(tasks(0, of="z"))}
