"""Queries from outside the task, and changelogs read by people."""

import pytest
from millpond.state.changelog import ChangelogEntry, decode_changelog
from millpond.state.errors import StoreClosed, UnknownFormat
from millpond.tests.twins.state_world import INT, LIST, TEXT, LoggedRecord, World


@pytest.fixture
def world() -> World:
    return World()


def test_view_shows_nothing_before_it_is_committed(world: World) -> None:
    view, windows = world.totals.view(), world.minutes.view()
    world.totals.put("a", 1)
    world.minutes.put(0, "a", 1)
    positions = world.commit_to_log()
    assert view.get("a") is windows.get(0, "a") is None
    assert windows.starts() == []
    world.state.apply(positions, world.now)
    assert view.get("a") == windows.get(0, "a") == 1
    world.totals.put("a", 2)
    assert view.get("a") == 1


def test_value_from_a_view_can_not_change_the_state(world: World) -> None:
    world.lists.put("a", [1])
    world.commit()
    seen = world.lists.view().get("a")
    assert seen is not None
    seen.append(2)
    world.commit()
    assert world.lists.get("a") == [1]


@pytest.mark.parametrize("reverse", [False, True])
def test_pages_follow_one_another(world: World, reverse: bool) -> None:
    expected = [(f"{number:03}", number) for number in range(25)]
    for key, value in expected:
        world.totals.put(key, value)
        world.minutes.put(60, key, value)
    world.minutes.put(0, "z", 1)
    world.minutes.put(120, "a", 1)
    world.commit()
    if reverse:
        expected.reverse()
    view, windows = world.totals.view(), world.minutes.view()
    found, found_in_window = [], []
    page = view.page(limit=10, reverse=reverse)
    found += page.items
    while page.cursor is not None:
        page = view.page(after=page.cursor, limit=10, reverse=reverse)
        found += page.items
    page = windows.page(60, limit=10, reverse=reverse)
    found_in_window += page.items
    while page.cursor is not None:
        page = windows.page(60, after=page.cursor, limit=10, reverse=reverse)
        found_in_window += page.items
    assert found == found_in_window == expected


def test_last_page_has_no_cursor_even_when_it_is_full(world: World) -> None:
    world.totals.put("a", 1)
    world.totals.put("b", 1)
    world.commit()
    assert world.totals.view().page(limit=1).cursor is not None
    assert world.totals.view().page(limit=2).cursor is None


def test_page_has_at_most_a_thousand_entries(world: World) -> None:
    for number in range(1500):
        world.totals.put(f"{number:04}", number)
    world.commit()
    page = world.totals.view().page(limit=5000)
    assert len(page.items) == 1000
    assert len(world.totals.view().page(after=page.cursor).items) == 500


def test_page_of_a_range(world: World) -> None:
    for key in ("a", "b", "ba", "bb", "c"):
        world.totals.put(key, 1)
    world.commit()
    view = world.totals.view()
    assert [key for key, _ in view.page("b", "c").items] == ["b", "ba", "bb"]
    assert [key for key, _ in view.page(prefix="b", lo="ba").items] == ["ba", "bb"]
    assert [key for key, _ in view.page(prefix="b", hi="bb", reverse=True).items] == ["ba", "b"]


def test_windows_of_a_key(world: World) -> None:
    for start in (0, 60, 120, 180):
        world.minutes.put(start, "a", start)
        world.minutes.put(start, "b", 1)
    world.minutes.delete(60, "a")
    world.commit()
    view = world.minutes.view()
    assert view.windows_of("a") == [(0, 0), (120, 120), (180, 180)]
    assert view.windows_of("a", 60, 180) == [(120, 120)]
    assert view.windows_of("a", limit=1) == [(0, 0)]
    assert view.windows_of("unknown") == []


def test_view_of_a_closed_store_says_so(world: World) -> None:
    view = world.totals.view()
    world.state.close()
    with pytest.raises(StoreClosed, match="present owner"):
        view.get("a")


# Changelogs


def test_changelog_can_be_read_by_people(world: World) -> None:
    world.totals.put("a", 1)
    world.totals.delete("b")
    world.logs.put(-60, "a", [1])
    world.commit()
    totals = list(decode_changelog(world.changelogs["totals"].records, TEXT, INT))
    assert totals == [
        ChangelogEntry("a", None, 1, 0, world.now),
        ChangelogEntry("b", None, None, 1, world.now),
    ]
    logs = list(decode_changelog(world.changelogs["logs"].records, TEXT, LIST))
    assert logs == [ChangelogEntry("a", -60, [1], 0, world.now)]


def test_changelog_of_an_unknown_version_is_not_guessed_at() -> None:
    record = LoggedRecord(7, b"a", b"x", 0, [("mp", b"k2")])
    with pytest.raises(UnknownFormat, match=r"offset 7 has format b'k2'"):
        list(decode_changelog([record], TEXT, INT))
