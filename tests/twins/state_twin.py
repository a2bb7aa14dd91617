"""Plain dicts beside a task's stores: whatever is done to one is done to the other, and compared.

`ACTIONS` names what can be done, with the arguments to choose from. Whoever drives the twin picks; an
action that can't be done at the moment does nothing.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millpond.state.changelog import ChangelogRecord
from millpond.state.meta import Position
from millpond.tests.twins.state_world import Disk, World

KEYS = ["", "a", "a\x00", "aa", "ÿ"]
BOUNDS = [None, *KEYS]
# Windows after the last one that was closed.
AHEAD = [0, 1, 2, 3]
VALUES = [-1, 0, 1, 2]
FLAGS = [False, True]
TABLES = ["totals", "lists"]
WINDOWED = ["minutes", "logs"]

ACTIONS: dict[str, tuple[Sequence[Any], ...]] = {
    "put": (KEYS, VALUES),
    "count": (KEYS,),
    "delete": (KEYS, TABLES),
    "put_list": (KEYS, VALUES),
    "change_list_in_place": (KEYS, VALUES),
    "read_default_without_changing_it": (KEYS,),
    "change_all_lists_in_place": (VALUES,),
    "put_in_window": (AHEAD, KEYS, VALUES),
    "change_in_window": (AHEAD, KEYS, VALUES),
    "delete_in_window": (AHEAD, KEYS, WINDOWED),
    "close_windows": (AHEAD,),
    "get": (KEYS,),
    "prefetch": (KEYS, KEYS),
    "iterate": (BOUNDS, BOUNDS, BOUNDS, FLAGS, [None, 0, 1, 3], TABLES),
    "see_everything": (),
    "views_show_what_is_committed": (),
    "drain": (),
    "log_accepts": (),
    "apply": (),
    "roll_back": (),
    "flush": (),
    "crash": (FLAGS,),
    "crash_again_while_restoring": ([0, 1, 2, 4],),
    "compact": (),
}

Contents = dict[str, Any]


@dataclass
class Pending:
    """A commit that is under way; the log has accepted it once there are positions."""

    contents: Contents
    horizon: int
    drained: dict[str, list[ChangelogRecord]]
    positions: dict[str, Position] | None = None


def empty() -> Contents:
    return {"totals": {}, "lists": {}, "minutes": {}, "logs": {}}


def encoded_order(keys: Mapping[str, Any]) -> list[str]:
    return sorted(keys, key=str.encode)


class StateTwin:
    """Does to dicts what it does to stores, and compares."""

    def __init__(self, disk: Disk, cache_bytes: int) -> None:
        self.world = World(disk, cache_bytes)
        self.now: Contents = empty()
        self.committed: Contents = empty()
        self.horizon = self.committed_horizon = -(1 << 63)
        self.pending: Pending | None = None

    # What a task does.

    def put(self, key: str, value: int) -> None:
        self.world.totals.put(key, value)
        self.now["totals"][key] = value

    def count(self, key: str) -> None:
        self.world.totals.put(key, self.world.totals.get_or_default(key, int) + 1)
        self.now["totals"][key] = self.now["totals"].get(key, 0) + 1

    def delete(self, key: str, store: str) -> None:
        getattr(self.world, store).delete(key)
        self.now[store].pop(key, None)

    def put_list(self, key: str, value: int) -> None:
        self.world.lists.put(key, [value])
        self.now["lists"][key] = [value]

    def change_list_in_place(self, key: str, value: int) -> None:
        self.world.lists.get_or_default(key, list).append(value)
        self.now["lists"].setdefault(key, []).append(value)

    def read_default_without_changing_it(self, key: str) -> None:
        found = self.world.lists.get_or_default(key, list)
        assert found == self.now["lists"].get(key, [])

    def change_all_lists_in_place(self, value: int) -> None:
        for _, found in self.world.lists.items():
            found.append(value)
        for expected in self.now["lists"].values():
            expected.append(value)

    def put_in_window(self, ahead: int, key: str, value: int) -> None:
        start = self.start(ahead)
        self.world.minutes.put(start, key, value)
        self.now["minutes"].setdefault(start, {})[key] = value

    def change_in_window(self, ahead: int, key: str, value: int) -> None:
        start = self.start(ahead)
        self.world.logs.get_or_default(start, key, list).append(value)
        self.now["logs"].setdefault(start, {}).setdefault(key, []).append(value)

    def delete_in_window(self, ahead: int, key: str, store: str) -> None:
        start = self.start(ahead)
        getattr(self.world, store).delete(start, key)
        self.now[store].get(start, {}).pop(key, None)

    def close_windows(self, ahead: int) -> None:
        limit = self.start(ahead)
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

    def prefetch(self, *keys: str) -> None:
        self.world.totals.prefetch(keys)
        self.world.lists.prefetch(keys)

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

    def see_everything(self) -> None:
        assert self.world.contents() == without_empty_windows(self.now)
        assert self.world.totals.count_up_to() == len(self.now["totals"])
        assert self.world.lists.count_up_to(2) == min(len(self.now["lists"]), 2)

    def views_show_what_is_committed(self) -> None:
        world, committed = self.world, without_empty_windows(self.committed)
        for name in ("totals", "lists"):
            page = getattr(world, name).view().page(limit=100)
            assert page.items == [
                (key, committed[name][key]) for key in encoded_order(committed[name])
            ]
        for name in ("minutes", "logs"):
            view = getattr(world, name).view()
            assert {start: dict(view.page(start).items) for start in view.starts()} == committed[
                name
            ]

    # What happens to it.

    def drain(self) -> None:
        if self.pending is None:
            drained = self.world.drain()
            self.pending = Pending(copy.deepcopy(self.now), self.horizon, drained)

    def log_accepts(self) -> None:
        pending = self.pending
        if pending is not None and pending.positions is None:
            horizons = {"minutes": pending.horizon, "logs": pending.horizon}
            pending.positions = self.world.append(pending.drained, horizons)

    def apply(self) -> None:
        if self.pending is not None and self.pending.positions is not None:
            self.world.state.apply(self.pending.positions, self.world.now)
            self.settle_pending()
            self.views_show_what_is_committed()

    def roll_back(self) -> None:
        if self.pending is None or self.pending.positions is None:
            self.world.state.rollback()
            self.settle_pending()
            self.take_committed()
            self.views_show_what_is_committed()

    def flush(self) -> None:
        self.world.backend.flush()

    def crash(self, clean: bool) -> None:
        self.settle_pending()
        if clean:
            self.world.restart()
        else:
            self.world.crash()
        self.take_committed()

    def crash_again_while_restoring(self, steps: int) -> None:
        self.settle_pending()
        self.world.disk.crash()
        restore = self.world.begin_restore()
        for _ in range(steps):
            self.world.restore_some(restore)
        self.world.backend.flush()
        self.world.crash()
        self.take_committed()

    def compact(self) -> None:
        # Deletions that no store may still have to see are the only ones a real log drops.
        self.world.backend.flush()
        if self.pending is None:
            for changelog in self.world.changelogs.values():
                changelog.compact()

    def start(self, ahead: int) -> int:
        return max(self.horizon, -120) + 60 * ahead

    def settle_pending(self) -> None:
        """What the log accepted is committed, whether or not the backend has it."""
        if self.pending is not None and self.pending.positions is not None:
            self.committed, self.committed_horizon = self.pending.contents, self.pending.horizon
        self.pending = None

    def take_committed(self) -> None:
        self.now = copy.deepcopy(self.committed)
        self.horizon = self.committed_horizon

    def finish(self) -> None:
        """Check that a restart and a rebuild from the changelogs give the same, byte for byte."""
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
