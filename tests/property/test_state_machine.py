"""A task's stores against plain dicts, through commits, rollbacks, restarts and crashes.

The same machine runs on both backends, with a cache so small that it forgets all the time, and
compares a changelog's rebuild with the living store byte for byte at the end of every run.
"""

import copy
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from millpond.state.meta import Position
from millpond.state.rocks import RocksEnvironment
from millpond.tests.twins.state_world import Disk, MemoryDisk, RocksDisk, World

KEYS = st.sampled_from(["", "a", "a\x00", "aa", "ab", "b", "ÿ", "日"])
STARTS = st.sampled_from([-60, 0, 60, 120, 180])
VALUES = st.integers(-5, 5)

Contents = dict[str, Any]


def empty() -> Contents:
    return {"totals": {}, "lists": {}, "minutes": {}, "logs": {}}


def encoded_order(keys: Mapping[str, Any]) -> list[str]:
    return sorted(keys, key=str.encode)


class StateMachine(RuleBasedStateMachine):
    """Does to dicts what it does to stores."""

    def make_disk(self) -> Disk:
        return MemoryDisk()

    @initialize(cache_bytes=st.sampled_from([0, 3_000, 1 << 20]))
    def begin(self, cache_bytes: int) -> None:
        self.world = World(self.make_disk(), cache_bytes)
        self.now: Contents = empty()
        self.committed: Contents = empty()
        self.horizon = self.committed_horizon = -(1 << 63)
        # What a commit that is under way will have made of the state, and its positions.
        self.pending: tuple[Contents, int, dict[str, Position]] | None = None

    # What a task does.

    @rule(key=KEYS, value=VALUES)
    def put(self, key: str, value: int) -> None:
        self.world.totals.put(key, value)
        self.now["totals"][key] = value

    @rule(key=KEYS)
    def count(self, key: str) -> None:
        self.world.totals.put(key, self.world.totals.get_or_default(key, int) + 1)
        self.now["totals"][key] = self.now["totals"].get(key, 0) + 1

    @rule(key=KEYS, store=st.sampled_from(["totals", "lists"]))
    def delete(self, key: str, store: str) -> None:
        getattr(self.world, store).delete(key)
        self.now[store].pop(key, None)

    @rule(key=KEYS, value=VALUES)
    def put_list(self, key: str, value: int) -> None:
        self.world.lists.put(key, [value])
        self.now["lists"][key] = [value]

    @rule(key=KEYS, value=VALUES)
    def change_list_in_place(self, key: str, value: int) -> None:
        self.world.lists.get_or_default(key, list).append(value)
        self.now["lists"].setdefault(key, []).append(value)

    @rule(key=KEYS)
    def read_default_without_changing_it(self, key: str) -> None:
        found = self.world.lists.get_or_default(key, list)
        assert found == self.now["lists"].get(key, [])

    @rule(value=VALUES)
    def change_all_lists_in_place(self, value: int) -> None:
        for _, found in self.world.lists.items():
            found.append(value)
        for expected in self.now["lists"].values():
            expected.append(value)

    @rule(start=STARTS, key=KEYS, value=VALUES)
    def put_in_window(self, start: int, key: str, value: int) -> None:
        if start >= self.horizon:
            self.world.minutes.put(start, key, value)
            self.now["minutes"].setdefault(start, {})[key] = value

    @rule(start=STARTS, key=KEYS, value=VALUES)
    def change_in_window(self, start: int, key: str, value: int) -> None:
        if start >= self.horizon:
            self.world.logs.get_or_default(start, key, list).append(value)
            self.now["logs"].setdefault(start, {}).setdefault(key, []).append(value)

    @rule(start=STARTS, key=KEYS, store=st.sampled_from(["minutes", "logs"]))
    def delete_in_window(self, start: int, key: str, store: str) -> None:
        getattr(self.world, store).delete(start, key)
        self.now[store].get(start, {}).pop(key, None)

    @rule(limit=STARTS)
    def close_windows(self, limit: int) -> None:
        for name in ("minutes", "logs"):
            windows = self.now[name]
            expected = [
                (start, key, windows[start][key])
                for start in sorted(windows)
                if start < limit
                for key in encoded_order(windows[start])
            ]
            assert getattr(self.world, name).close_before(limit) == expected
            self.now[name] = {s: entries for s, entries in windows.items() if s >= limit}
        self.horizon = max(self.horizon, limit)

    # What it sees.

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        assert self.world.totals.get(key) == self.now["totals"].get(key)
        assert self.world.lists.get(key) == self.now["lists"].get(key)
        assert self.world.lists.contains(key) == (key in self.now["lists"])
        for store, windows in ((self.world.minutes, "minutes"), (self.world.logs, "logs")):
            assert list(store.fetch(key)) == [
                (start, entries[key])
                for start, entries in sorted(self.now[windows].items())
                if key in entries
            ]

    @rule(keys=st.lists(KEYS, max_size=6))
    def prefetch(self, keys: list[str]) -> None:
        self.world.totals.prefetch(keys)
        self.world.lists.prefetch(keys)

    @rule(
        lo=st.none() | KEYS,
        hi=st.none() | KEYS,
        prefix=st.none() | KEYS,
        reverse=st.booleans(),
        limit=st.none() | st.integers(0, 4),
        store=st.sampled_from(["totals", "lists"]),
    )
    def iterate(
        self,
        lo: str | None,
        hi: str | None,
        prefix: str | None,
        reverse: bool,
        limit: int | None,
        store: str,
    ) -> None:
        expected = [
            (key, self.now[store][key])
            for key in encoded_order(self.now[store])
            if (lo is None or key.encode() >= lo.encode())
            and (hi is None or key.encode() < hi.encode())
            and (prefix is None or key.startswith(prefix))
        ]
        if reverse:
            expected.reverse()
        found = getattr(self.world, store).items(
            lo, hi, prefix=prefix, reverse=reverse, limit=limit
        )
        assert list(found) == expected[:limit]

    @rule()
    def count_entries(self) -> None:
        assert self.world.totals.count_up_to() == len(self.now["totals"])
        assert self.world.lists.count_up_to(2) == min(len(self.now["lists"]), 2)

    @rule()
    def see_everything(self) -> None:
        assert self.world.contents() == without_empty_windows(self.now)

    @invariant()
    def views_show_what_is_committed(self) -> None:
        world, committed = self.world, self.committed
        page = world.totals.view().page(limit=100)
        assert page.items == [
            (k, committed["totals"][k]) for k in encoded_order(committed["totals"])
        ]
        view = world.minutes.view()
        assert view.starts() == sorted(without_empty_windows(committed)["minutes"])
        for start, entries in committed["minutes"].items():
            assert dict(view.page(start).items) == entries

    # What happens to it.

    @precondition(lambda self: self.pending is None)
    @rule()
    def drain_and_commit_to_log(self) -> None:
        positions = self.world.commit_to_log({"minutes": self.horizon, "logs": self.horizon})
        self.pending = copy.deepcopy(self.now), self.horizon, positions

    @precondition(lambda self: self.pending is not None)
    @rule()
    def apply(self) -> None:
        assert self.pending is not None
        self.committed, self.committed_horizon, positions = self.pending
        self.world.state.apply(positions, self.world.now)
        self.pending = None

    @precondition(lambda self: self.pending is None)
    @rule()
    def roll_back(self) -> None:
        self.world.state.rollback()
        self.take_committed()

    @precondition(lambda self: self.pending is None)
    @rule()
    def roll_back_after_drain(self) -> None:
        self.world.state.drain(self.world.now)
        self.world.state.rollback()
        self.take_committed()

    @precondition(lambda self: self.pending is None)
    @rule(value=VALUES, key=KEYS)
    def roll_back_after_drain_and_more(self, key: str, value: int) -> None:
        self.world.state.drain(self.world.now)
        self.world.totals.put(key, value)
        self.world.lists.get_or_default(key, list).append(value)
        self.world.state.rollback()
        self.take_committed()

    @rule()
    def flush(self) -> None:
        self.world.backend.flush()

    @rule(clean=st.booleans())
    def crash(self, clean: bool) -> None:
        self.settle_pending()
        if clean:
            self.world.restart()
        else:
            self.world.crash()
        self.take_committed()

    @precondition(lambda self: self.pending is None)
    @rule(steps=st.integers(0, 4))
    def crash_again_while_restoring(self, steps: int) -> None:
        self.world.disk.crash()
        restore = self.world.begin_restore()
        for _ in range(steps):
            self.world.restore_some(restore)
        self.world.backend.flush()
        self.world.crash()
        self.take_committed()

    @rule()
    def compact(self) -> None:
        # Deletions that no store may still have to see are the only ones a real log drops.
        self.world.backend.flush()
        if self.pending is None:
            for changelog in self.world.changelogs.values():
                changelog.compact()

    def settle_pending(self) -> None:
        """The log has it, so a crash doesn't lose it."""
        if self.pending is not None:
            self.committed, self.committed_horizon, _ = self.pending
            self.pending = None

    def take_committed(self) -> None:
        self.now = copy.deepcopy(self.committed)
        self.horizon = self.committed_horizon

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.settle_pending()
            self.world.restart()
            assert self.world.contents() == without_empty_windows(self.committed)
            assert self.world.rebuilt().data() == self.world.data()
            self.world.state.close()


def without_empty_windows(contents: Contents) -> Contents:
    return contents | {
        name: {start: entries for start, entries in contents[name].items() if entries}
        for name in ("minutes", "logs")
    }


class RocksStateMachine(StateMachine):
    """The same on RocksDB."""

    def make_disk(self) -> Disk:
        self.directory = tempfile.TemporaryDirectory()
        return RocksDisk(Path(self.directory.name), RocksEnvironment(8 << 20))

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            if hasattr(self, "directory"):
                self.directory.cleanup()


TestStateInMemory = StateMachine.TestCase
TestStateInMemory.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)

TestStateInRocks = RocksStateMachine.TestCase
TestStateInRocks.settings = settings(
    max_examples=8,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
