"""Whatever a changelog went through, following it gives what the last records say."""

from hypothesis import given, settings
from hypothesis import strategies as st
from millpond.state.cache import CacheBudget
from millpond.state.changelog import ChangelogRecord
from millpond.state.memory import MemoryBackend
from millpond.state.task_state import TaskState
from millpond.tests.twins.state_world import INT, TEXT, Changelog

HEADERS = (("mp", b"k1"),)

transactions = st.lists(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 9)), min_size=1, max_size=8
    ),
    max_size=8,
)
# After each step: how many records are read at a time, whether the log is compacted, whether the
# worker crashes, and whether it flushed before.
steps = st.tuples(st.integers(1, 5), st.booleans(), st.booleans(), st.booleans())


def records(changes: list[tuple[str, int | None]]) -> list[ChangelogRecord]:
    return [
        (key.encode(), None if value is None else INT.encode(value), 0, HEADERS)
        for key, value in changes
    ]


@settings(max_examples=200, deadline=None)
@given(history=transactions, data=st.data())
def test_following_a_changelog_gives_its_last_records(
    history: list[list[tuple[str, int | None]]], data: st.DataObject
) -> None:
    changelog, backend = Changelog("totals"), MemoryBackend()
    expected: dict[str, int | None] = {}
    for changes in [[], *history]:
        changelog.append(records(changes))
        expected |= dict(changes)
        count, compacts, crashes, flushes = data.draw(steps)

        state = TaskState(backend, partitions=8, budget=CacheBudget())
        store = state.key_value("totals", changelog="totals", key=TEXT, value=INT)
        restore = state.restore({"totals": changelog.facts(state.positions.get("totals"))}, 0)
        remaining = restore.remaining
        while not restore.done:
            restore.feed(changelog.read(restore.offsets["totals"], count))
            assert restore.remaining < remaining, "each read leads on"
            remaining = restore.remaining
        restore.finish(0)

        present = {key: value for key, value in expected.items() if value is not None}
        assert dict(store.items()) == present
        assert state.positions["totals"].offset == changelog.end
        if flushes:
            backend.flush()
        if compacts and flushes:
            changelog.compact()
        if crashes:
            backend.crash()


@given(
    history=transactions,
    count=st.integers(1, 5),
)
def test_rebuild_is_the_same_however_it_is_read(
    history: list[list[tuple[str, int | None]]], count: int
) -> None:
    changelog = Changelog("totals")
    for changes in history:
        changelog.append(records(changes))
    found = []
    for size in (count, 1000):
        backend = MemoryBackend()
        state = TaskState(backend, partitions=8, budget=CacheBudget())
        state.key_value("totals", changelog="totals", key=TEXT, value=INT)
        facts = changelog.facts(None)
        restore = state.restore({"totals": facts}, 0)
        while not restore.done:
            restore.feed(changelog.read(restore.offsets["totals"], size))
        restore.finish(0)
        found.append(list(backend.range(b"", b"\xff")))
    assert found[0] == found[1]
