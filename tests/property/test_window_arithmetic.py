"""Windows computed against windows tried one by one."""

from hypothesis import given
from hypothesis import strategies as st
from millpond.streams.windows import Hopping, Tumbling

SIZE_MAX = 40
times = st.integers(-200, 200)
sizes = st.integers(1, SIZE_MAX)
graces = st.integers(0, 30)


@st.composite
def hoppings(draw: st.DrawFn) -> Hopping:
    size = draw(sizes)
    return Hopping(size, draw(st.integers(1, size)), draw(graces))


def all_starts(size: int, step: int, timestamp: int) -> list[int]:
    near = range(timestamp - 2 * SIZE_MAX, timestamp + 2 * SIZE_MAX)
    return [start for start in near if start % step == 0 and start <= timestamp < start + size]


@given(hoppings(), times)
def test_hopping_starts_are_those_that_contain_the_moment(windows: Hopping, time: int) -> None:
    assert list(windows.starts(time)) == all_starts(windows.size_ms, windows.step_ms, time)


@given(sizes, graces, times)
def test_tumbling_is_hopping_by_its_size(size: int, grace: int, time: int) -> None:
    assert list(Tumbling(size, grace).starts(time)) == list(Hopping(size, size, grace).starts(time))


@given(hoppings(), times, times)
def test_what_is_late_is_exactly_what_is_closed(windows: Hopping, start: int, mark: int) -> None:
    late = windows.end(start) + windows.grace_ms <= mark
    assert windows.is_late(start, mark) == late
    assert (start < windows.close_limit(mark)) == late


@given(hoppings(), times, st.integers(0, 100))
def test_a_window_never_opens_again(windows: Hopping, start: int, later: int) -> None:
    if windows.is_late(start, 0):
        assert windows.is_late(start, later)
    assert windows.close_limit(later) >= windows.close_limit(0)
