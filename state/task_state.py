"""All stores of one task over one backend, and the steps that keep them equal to the changelogs.

    state = TaskState(backend, partitions=8, budget=budget, where="./data/state/shop/0/3")
    totals = state.key_value("totals", changelog="shop-totals", key=..., value=...)
    minutes = state.windowed("minutes", changelog="shop-minutes", key=..., value=..., window="tumbling 60000")

    restore = state.restore(facts, now)            # always, once all stores are registered
    while not restore.done: restore.feed(fetched)  # reading from restore.offsets
    restore.finish(now)

    records = state.drain(now)                     # {changelog: [NewRecord fields]}
    ... commit them to the log ...
    state.apply(positions, now)                    # or state.rollback()

The log comes first: only what is committed there goes to the backend, in one write with the positions.
So whatever a crash leaves in the backend is a state that the changelogs lead on from. Between `drain`
and `apply` processing may go on; its writes belong to the next commit.

A backend remembers what it was made for. Data of a store whose description changed, and all data of
a task whose partition count changed, is deleted when the store is registered, and comes back from the
changelog.
"""

from collections.abc import Mapping
from typing import Protocol, TypeVar

from ..log.model import Fetched, Headers, Offset, Timestamp
from .backend import CHANGES_MAX, Backend, Change, KeyRange
from .cache import CacheBudget
from .changelog import ChangelogRecord
from .codec import Codec
from .key_value import KeyValueStore, open_key_value
from .keys import KEY_VALUE, META, STORE_ID_MAX, WINDOWED, encode_start, store_prefix, store_range
from .meta import (
    Position,
    StoredPosition,
    StoreMeta,
    check_format,
    encode_format,
    encode_position,
    encode_store,
    forget_position,
    next_store_id,
    read_positions,
    read_stores,
)
from .restore import ChangelogFacts, Restoration, plan_restore
from .shape import Shape
from .windowed import WindowStore

K = TypeVar("K")
V = TypeVar("V")


class Store(Protocol):
    """What `TaskState` asks of a store of any kind."""

    name: str
    changelog: str
    prefix: bytes

    @property
    def headers(self) -> Headers: ...
    @property
    def dirty_count(self) -> int: ...
    @property
    def dirty_bytes(self) -> int: ...
    def drain(self) -> list[Change]: ...
    def deletes(self) -> list[KeyRange]: ...
    def applied(self) -> None: ...
    def rollback(self) -> None: ...
    def reload(self, horizon: int | None = None) -> None: ...
    def close(self) -> None: ...


class TaskState:
    """The stores of one task."""

    def __init__(
        self, backend: Backend, *, partitions: int, budget: CacheBudget, where: str = "memory"
    ) -> None:
        """Take over a backend that was just opened.

        Args:
            backend: keeps the bytes; closed by `close`.
            partitions: the partition count of the task's inputs.
            budget: bounds the caches of all tasks of the process.
            where: what error messages call the place.

        Raises:
            UnknownFormat: another version of Millpond wrote it.
        """
        self.backend = backend
        self._budget = budget
        self._stores: dict[str, Store] = {}
        self._pending: list[Change] = []
        self._pending_ranges: list[KeyRange] = []
        self._draining = False
        if not check_format(backend, where, partitions):
            everything = (META, STORE_ID_MAX.to_bytes(2, "big"))
            backend.write([encode_format(partitions)], [everything])
        self._known = read_stores(backend)
        self._positions = read_positions(backend)

    def key_value(
        self, name: str, *, changelog: str, key: Codec[K], value: Codec[V]
    ) -> KeyValueStore[K, V]:
        """Register a store of one value per key."""
        made_for = f"key-value {key.name} -> {value.name} in {changelog}"
        prefix = self._register(name, changelog, made_for, KEY_VALUE)
        store = open_key_value(self._shape(name, key, value), changelog, prefix)
        self._stores[changelog] = store
        return store

    def windowed(
        self, name: str, *, changelog: str, key: Codec[K], value: Codec[V], window: str
    ) -> WindowStore[K, V]:
        """Register a store of one value per window and key; `window` describes the windows."""
        made_for = f"windowed {window} {key.name} -> {value.name} in {changelog}"
        prefix = self._register(name, changelog, made_for, WINDOWED)
        store = WindowStore(self._shape(name, key, value), changelog, prefix)
        self._stores[changelog] = store
        return store

    @property
    def positions(self) -> dict[str, Position]:
        """Return how far each changelog is in the backend: ask the log about these leader epochs."""
        return {name: stored.position for name, stored in self._positions.items()}

    def restore(
        self,
        facts: Mapping[str, ChangelogFacts],
        now: Timestamp,
        horizons: Mapping[str, int] | None = None,
    ) -> "TaskRestore":
        """Begin to catch up with the changelogs; wipes stores that must start over.

        Args:
            facts: of every store's changelog, by its name.
            now: the time.
            horizons: by store name, the start before which all its windows had been closed.

        Raises:
            ChangelogTruncated: a store can't be made whole.
        """
        horizons = horizons or {}
        plans = {
            name: plan_restore(self._positions.get(name), facts[name], now) for name in self._stores
        }
        restorations = []
        for name, plan in plans.items():
            store, stored = self._stores[name], self._positions.get(name)
            if plan.rebuild:
                self._wipe(store.prefix, name)
            restorations.append(
                Restoration(
                    facts[name],
                    plan,
                    stored,
                    prefix=store.prefix,
                    header=store.headers[0],
                    horizon_key=_horizon_key(horizons, store.name),
                    now=now,
                )
            )
        return TaskRestore(self, restorations, horizons)

    def restored(
        self, positions: Mapping[str, Position], horizons: Mapping[str, int], now: Timestamp
    ) -> None:
        """Open the stores for use, at these positions; called by `TaskRestore.finish`."""
        for changelog in self._stores:
            self._positions[changelog] = StoredPosition(positions[changelog], now)
        self.backend.write(self._encoded_positions(), self.closed(horizons))
        for store in self._stores.values():
            store.reload(horizons.get(store.name))

    def horizon_key(self, changelog: str, horizons: Mapping[str, int]) -> bytes:
        """Return what all keys of a store begin with or come after, but those of closed windows."""
        return _horizon_key(horizons, self._stores[changelog].name)

    def closed(self, horizons: Mapping[str, int]) -> list[KeyRange]:
        """Return the keys of windows that had been closed."""
        return [
            (store.prefix, store.prefix + _horizon_key(horizons, store.name))
            for store in self._stores.values()
            if store.name in horizons
        ]

    def drain(self, now: Timestamp) -> dict[str, list[ChangelogRecord]]:
        """Return this commit's changelog records by changelog, timed `now`, one per changed key.

        Raises:
            ValueRefused: a value does not fit its store's codec. Roll back.
        """
        assert not self._draining, "one commit at a time"
        self._draining = True
        records: dict[str, list[ChangelogRecord]] = {}
        for changelog, store in self._stores.items():
            changes = store.drain()
            self._pending_ranges += store.deletes()
            if changes:
                headers, prefix = store.headers, store.prefix
                records[changelog] = [(key, value, now, headers) for key, value in changes]
                self._pending += [(prefix + key, value) for key, value in changes]
        return records

    def apply(self, positions: Mapping[str, Position], now: Timestamp) -> None:
        """Write what was drained, now that the log has it, and how far that brought the changelogs.

        Args:
            positions: by changelog, the next offset after the records of this commit.
            now: the time; all stores are up to date as of it, also those that nothing changed in.
        """
        assert self._draining, "apply what?"
        for changelog in self._stores:
            position = positions.get(changelog) or self._positions[changelog].position
            self._positions[changelog] = StoredPosition(position, now)
        self.backend.write(self._pending + self._encoded_positions(), self._pending_ranges)
        self._draining = False
        self._pending, self._pending_ranges = [], []
        for store in self._stores.values():
            store.applied()

    def rollback(self) -> None:
        """Forget everything that is not in the backend."""
        self._draining = False
        self._pending, self._pending_ranges = [], []
        for store in self._stores.values():
            store.rollback()

    @property
    def dirty_count(self) -> int:
        """Return how many keys the next drain looks at."""
        return sum([store.dirty_count for store in self._stores.values()])

    @property
    def dirty_bytes(self) -> int:
        """Return an estimate of the memory that uncommitted entries take."""
        return sum([store.dirty_bytes for store in self._stores.values()])

    def close(self) -> None:
        """Give back the caches' memory and close the backend, which flushes it: do it in a thread."""
        for store in self._stores.values():
            store.close()
        self.backend.close()

    def _shape(self, name: str, key: Codec[K], value: Codec[V]) -> Shape[K, V]:
        return Shape(name, key, value, self.backend, self._budget)

    def _register(self, name: str, changelog: str, made_for: str, tag: bytes) -> bytes:
        """Return the store's prefix; deletes what it can't use of an earlier one of that name."""
        assert changelog not in self._stores, f"two stores share the changelog {changelog!r}"
        assert all(store.name != name for store in self._stores.values()), f"two stores {name!r}"
        known = self._known.get(name)
        if known is not None and known.made_for == made_for:
            return store_prefix(known.id, tag)
        meta = StoreMeta(next_store_id(self._known) if known is None else known.id, made_for)
        self._known[name] = meta
        prefix = store_prefix(meta.id, tag)
        self._wipe(prefix, changelog)
        self.backend.write([encode_store(name, meta)])
        return prefix

    def _encoded_positions(self) -> list[Change]:
        return [
            encode_position(changelog, self._positions[changelog]) for changelog in self._stores
        ]

    def _wipe(self, prefix: bytes, changelog: str) -> None:
        """Delete a store's data and its position."""
        store_id = int.from_bytes(prefix[:2], "big")
        self._positions.pop(changelog, None)
        self.backend.write([forget_position(changelog)], [store_range(store_id)])


class TaskRestore:
    """The way of all stores of a task to the ends of their changelogs."""

    def __init__(
        self, state: TaskState, restorations: list[Restoration], horizons: Mapping[str, int]
    ) -> None:
        self._state = state
        self._horizons = horizons
        self._deleted: Mapping[str, int] = {}  # the horizons whose closed windows are deleted
        self._restorations = {each.facts.partition.topic: each for each in restorations}

    @property
    def offsets(self) -> dict[str, Offset]:
        """Return, by changelog, where to read on; those that are done are left out."""
        return {name: each.offset for name, each in self._restorations.items() if not each.done}

    @property
    def done(self) -> bool:
        """Return whether all captured ends have been reached."""
        return all(each.done for each in self._restorations.values())

    @property
    def remaining(self) -> int:
        """Return how many offsets are left to read."""
        return sum(each.remaining for each in self._restorations.values())

    @property
    def record_count(self) -> int:
        """Return how many records have been read."""
        return sum(each.record_count for each in self._restorations.values())

    @property
    def reasons(self) -> dict[str, str]:
        """Return, by changelog, why it was resumed or rebuilt."""
        return {name: each.plan.reason for name, each in self._restorations.items()}

    def feed(self, fetched: Fetched) -> None:
        """Write what was read from one changelog."""
        restoration = self._restorations[fetched.partition.topic]
        writes = restoration.feed(fetched)
        # Upserts are idempotent, so only the last write, with the position, must be whole.
        for begin in range(0, len(writes), CHANGES_MAX):
            self._state.backend.write(writes[begin : begin + CHANGES_MAX])

    @property
    def positions(self) -> dict[str, Offset]:
        """Return, by changelog, where to read on; also of those that are done."""
        return {name: each.offset for name, each in self._restorations.items()}

    def extend_to(
        self, ends: Mapping[str, Offset], now: Timestamp, horizons: Mapping[str, int]
    ) -> None:
        """Go on to later ends, captured now; for a copy, which follows its changelogs for ever.

        Args:
            ends: by changelog, its end.
            now: the time.
            horizons: by store name, the start before which all its windows have been closed by now.
        """
        closed = [] if horizons == self._deleted else self._state.closed(horizons)
        self._deleted = self._horizons = dict(horizons)
        positions = [
            each.extend_to(
                ends[name], now, horizon_key=self._state.horizon_key(name, self._horizons)
            )
            for name, each in self._restorations.items()
        ]
        self._state.backend.write(positions, closed)

    def finish(self, now: Timestamp) -> None:
        """Open the stores for use: what they hold is what their changelogs say."""
        assert self.done
        self._state.restored(
            {name: each.stored.position for name, each in self._restorations.items()},
            self._horizons,
            now,
        )


def _horizon_key(horizons: Mapping[str, int], store: str) -> bytes:
    return encode_start(horizons[store]) if store in horizons else b""
