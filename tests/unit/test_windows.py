"""Windows by example; tests/property/test_window_arithmetic.py holds them against brute force."""

from datetime import UTC, datetime

import pytest
from millpond.log.errors import ConfigError
from millpond.streams.types.codecs import codec_for
from millpond.streams.windows import Hopping, Tumbling, Window


def test_neighbouring_windows_share_no_moment_and_miss_none() -> None:
    minutes = Tumbling(60_000, 0)
    assert list(minutes.starts(59_999)) == [0]
    assert list(minutes.starts(60_000)) == [60_000]
    assert minutes.end(0) == 60_000


def test_hopping_windows_overlap() -> None:
    hopping = Hopping(10, 4, 0)
    assert list(hopping.starts(12)) == [4, 8, 12]
    assert list(hopping.starts(11)) == [4, 8]


def test_moments_before_the_epoch_have_windows_too() -> None:
    assert list(Tumbling(10, 0).starts(-1)) == [-10]
    assert list(Hopping(10, 5, 0).starts(-1)) == [-10, -5]


def test_window_closes_when_end_and_grace_are_reached() -> None:
    minutes = Tumbling(60_000, 10_000)
    assert not minutes.is_late(0, 69_999)
    assert minutes.is_late(0, 70_000)
    assert minutes.close_limit(69_999) <= 0 < minutes.close_limit(70_000)


@pytest.mark.parametrize(
    ("size", "step", "grace", "why"),
    [
        (0, 1, 0, "size"),
        (10, 0, 0, "step"),
        (10, 11, 0, "leave gaps"),
        (10, 5, -1, "grace"),
    ],
)
def test_senseless_windows_are_refused(size: int, step: int, grace: int, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Hopping(size, step, grace)


def test_senseless_tumbling_windows_are_refused() -> None:
    with pytest.raises(ConfigError, match="size"):
        Tumbling(0, 0)
    with pytest.raises(ConfigError, match="grace"):
        Tumbling(1, -1)


def test_window_tells_its_times() -> None:
    window = Window("bob", 60_000, 120_000, 3)
    assert window.starts_at == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    assert window.ends_at == datetime(1970, 1, 1, 0, 2, tzinfo=UTC)


def test_windows_can_be_sent_to_a_topic() -> None:
    codec = codec_for(Window[str, int], what="topic 'minutes': value")
    window = Window("bob", 60_000, 120_000, 3)
    assert codec.encode(window) == b'{"key":"bob","start":60000,"end":120000,"value":3}'
    assert codec.decode(codec.encode(window)) == window
    assert not codec.mutable
    assert codec_for(Window[str, list[int]], what="x").mutable
