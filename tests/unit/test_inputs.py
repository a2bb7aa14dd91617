"""What waits in front of a task: in order, decoded, across gaps, and without what can't be read."""

from dataclasses import dataclass
from datetime import timedelta

import millpond as mp
import pytest
from millpond.log.model import Fetched, Headers, TopicPartition
from millpond.streams.engine.inputs import Input, Slice, Undecodable

NUMBERS = TopicPartition("numbers", 0)


@dataclass(frozen=True)
class Stored:
    offset: int
    value: bytes | None
    timestamp: int = 0
    key: bytes | None = None
    headers: Headers = ()


def an_input(**options: object) -> Input:
    return Input(mp.App("shop").topic("numbers", value=int, **options), NUMBERS)


def fetched(*records: Stored, next_offset: int, end_offset: int | None = None) -> Fetched:
    end = next_offset if end_offset is None else end_offset
    return Fetched(NUMBERS, records, next_offset, end, leader_epoch=0)


def numbers(*offsets: int) -> list[Stored]:
    return [Stored(offset, b"%d" % offset, timestamp=offset * 10) for offset in offsets]


def take(source: Input, size: int = 100, **bounds: int | None) -> Slice:
    assert not source.is_empty
    taken = source.take(size, **{"not_beyond": None, "up_to": None, **bounds})
    assert isinstance(taken, Slice)
    return taken


def take_undecodable(source: Input) -> Undecodable:
    assert not source.is_empty
    taken = source.take(100, not_beyond=None, up_to=None)
    assert isinstance(taken, Undecodable)
    return taken


def test_the_next_offset_is_the_next_records_own() -> None:
    source = an_input()
    source.feed(fetched(*numbers(3, 7, 8), next_offset=12))
    assert take(source, 1).next_offset == 7
    assert take(source, 1).next_offset == 8
    assert take(source, 1).next_offset == 12
    assert source.is_empty


def test_a_fetch_without_records_moves_on() -> None:
    source = an_input()
    source.feed(fetched(next_offset=5, end_offset=9))
    assert (source.position, source.fetch_position, source.lag) == (5, 5, 4)
    source.feed(fetched(*numbers(6), next_offset=7, end_offset=9))
    source.feed(fetched(next_offset=9))
    assert (source.position, source.lag) == (5, 0), "what waits is not processed"
    assert take(source).next_offset == 9


def test_a_slice_ends_in_front_of_what_is_later_but_has_one_event_at_least() -> None:
    source = an_input()
    source.feed(fetched(*numbers(1, 2, 3), next_offset=4))
    assert take(source, not_beyond=20).values == [1, 2]
    assert take(source, not_beyond=20).values == [3]


def test_a_slice_ends_behind_what_has_reached_a_time() -> None:
    source = an_input()
    source.feed(fetched(*numbers(1, 2, 3), next_offset=4))
    assert take(source, up_to=20).values == [1, 2]
    assert take(source, up_to=20).values == [3]


def test_what_is_given_back_comes_again() -> None:
    source = an_input()
    source.feed(fetched(*numbers(1, 2, 3), next_offset=4))
    assert take(source).values == [1, 2, 3]
    source.give_back(2)
    again = take(source)
    assert (again.values, again.timestamps, again.next_offset) == ([2, 3], [20, 30], 4)


def test_seeking_forgets_what_waits() -> None:
    source = an_input()
    source.feed(fetched(*numbers(1, 2), next_offset=3))
    source.seek(1, end_offset=8)
    assert source.is_empty
    assert (source.position, source.fetch_position, source.lag) == (1, 1, 7)


def test_what_does_not_decode_comes_alone_and_in_its_place() -> None:
    source = an_input()
    bad = [Stored(2, b"two", 20), Stored(5, b"", 50)]
    source.feed(fetched(*numbers(1), bad[0], *numbers(3, 4), bad[1], next_offset=9))
    assert take(source).next_offset == 2
    first = take_undecodable(source)
    assert (first.record, first.next_offset, first.error.part) == (bad[0], 3, "value")
    assert take(source).values == [3, 4]
    assert not source.is_empty
    assert source.head_timestamp() == 50
    last = take_undecodable(source)
    assert (last.error.offset, last.next_offset) == (5, 9)
    assert source.is_empty


def test_a_gap_behind_what_does_not_decode_is_passed_with_it() -> None:
    source = an_input()
    source.feed(fetched(Stored(1, b"one"), next_offset=2))
    source.feed(fetched(next_offset=6))
    assert take_undecodable(source).next_offset == 6


@pytest.mark.parametrize("bad", ["yesterday", None, -1, 1.5], ids=repr)
def test_a_time_that_is_none_is_told_like_a_value_that_is_none(bad: object) -> None:
    source = an_input(timestamp=lambda value: bad if value == 2 else timedelta(seconds=value))
    source.feed(fetched(*numbers(1, 2, 3), next_offset=4))
    assert take(source).timestamps == [1000]
    taken = take_undecodable(source)
    assert (taken.error.part, taken.error.offset, taken.error.found) == ("timestamp", 2, 2)


def test_without_a_value_the_records_time_counts() -> None:
    source = an_input(timestamp=lambda value: value)
    source.feed(fetched(Stored(1, None, 77), next_offset=2))
    taken = take(source)
    assert (taken.values, taken.timestamps) == ([None], [77])
