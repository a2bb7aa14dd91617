"""The typed entries under one prefix of the backend: overlay before cache before backend.

    put ─► overlay ──drain──► pending ──applied──► (backend)
                                 │ also into the cache
    get ◄─ overlay ◄─ young ◄─ pending ◄─ old ◄─ backend

*Overlay*: this commit's writes. *Pending*: what `drain` has handed to a commit that is still under
way; processing may go on meanwhile. *Cache*: young and old, see `cache.py`. Keys and values are the
user's objects; they are turned to bytes once, at the commit. A rollback forgets overlay and pending,
and with them the cached values of the keys that were pending: whatever the cache still has was
committed.

There are two kinds. `ObjectEntries` hold immutable values, and cache them as they are; `tracked.py`
has those for mutable ones. Which it is, is decided once, when the entries are made.

Entries that were seen to be empty are *complete*: all there is is in memory, and a missing key need
not be looked for in the backend, until the cache drops something.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from enum import Enum, auto
from itertools import islice
from operator import gt, itemgetter, lt
from typing import Any, Final, Generic, TypeVar

from .backend import Change
from .keys import successor
from .shape import Shape

K = TypeVar("K")
V = TypeVar("V")


class Absent(Enum):
    """Marks a key that is known to have no value: deleted in an overlay, not found in a cache."""

    ABSENT = auto()


ABSENT: Final = Absent.ABSENT

# Two objects and a slot in a dict for each entry, beyond what the encoded bytes measure.
_ENTRY_OVERHEAD_BYTES: Final = 200
# So many changes of a commit say how large all of them are.
_SAMPLE: Final = 100
# Below this share of misses, looking up a batch's keys beforehand costs more than it saves.
_PREFETCH_MISS_RATE: Final = 0.1


class Entries(ABC, Generic[K, V]):
    """Overlay, pending and cache over one prefix.

    Cached and pending values are in a form of the subclass' choice, or ABSENT. None, which can't be
    stored, stands for "not here".
    """

    def __init__(self, shape: Shape[K, V], prefix: bytes, *, complete: bool) -> None:
        self.prefix = prefix
        self.complete = complete
        self._shape = shape
        self._overlay: dict[K, Any] = {}
        self._pending: dict[K, Any] = {}
        self._young: dict[K, Any] = {}
        self._old: dict[K, Any] = {}
        self._entry_bytes = _ENTRY_OVERHEAD_BYTES
        self._loads = 0
        self._miss_rate = 0.0
        self._drains = 0
        shape.budget.join(self)

    @abstractmethod
    def get(self, key: K, default: V | None = None) -> V | None:
        """Return the value, or `default`."""

    @abstractmethod
    def get_or_default(self, key: K, factory: Callable[[], V]) -> V:
        """Return the value, or what `factory` makes, which becomes an entry only if it is changed."""

    def put(self, key: K, value: V) -> None:
        """Set the value; None deletes it."""
        self._overlay[key] = ABSENT if value is None else value

    def delete(self, key: K) -> None:
        """Remove the value, if there is one."""
        self._overlay[key] = ABSENT

    def contains(self, key: K) -> bool:
        """Return whether there is a value."""
        return self.get(key) is not None

    def prefetch(self, keys: Collection[K]) -> None:
        """Tell which keys a batch will ask for: loads them with one read if that has been paying."""
        if self.complete or not keys:
            return
        misses = self._loads
        if self._miss_rate >= _PREFETCH_MISS_RATE:
            young, old, overlay, pending = self._young, self._old, self._overlay, self._pending
            missing = [
                key
                for key in set(keys)
                if not (key in young or key in old or key in overlay or key in pending)
            ]
            misses += len(missing)
            if missing:
                self._load_many(missing)
        self._loads = 0
        self._miss_rate += (min(misses / len(keys), 1.0) - self._miss_rate) / 4

    def scan(
        self,
        lo: bytes = b"",
        hi: bytes | None = None,
        *,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[K, V]]:
        """Yield entries with lo ≤ encoded key < hi in that order, with the changes made so far.

        Of entries that are changed while this runs, either state may be seen.
        """
        cut = len(self.prefix)
        top = successor(self.prefix) if hi is None else self.prefix + hi
        assert top is not None
        changes = [
            change
            for change in self._changes()
            if change[0] >= lo and (hi is None or change[0] < hi)
        ]
        changes.sort(key=itemgetter(0), reverse=reverse)
        stored = self._shape.backend.range(self.prefix + lo, top, reverse=reverse)
        rows = ((key[cut:], data) for key, data in stored)
        return islice(self._merge(rows, changes, reverse), limit)

    def count_up_to(self, limit: int = 10_000) -> int:
        """Return how many entries there are, at most `limit`: it counts by reading the keys."""
        cut = len(self.prefix)
        top = successor(self.prefix)
        assert top is not None
        changes = dict(self._changes())
        count = sum([self.get(key) is not None for key in changes.values()])
        for key, _ in self._shape.backend.range(self.prefix, top):
            if count >= limit:
                return limit
            count += key[cut:] not in changes
        return min(count, limit)

    def remains(self) -> list[tuple[K, V]]:
        """Return all entries in the order of their encoded keys, for whoever discards them next.

        Nothing is loaded into the cache, and values are not tracked.
        """
        cut = len(self.prefix)
        top = successor(self.prefix)
        assert top is not None
        changes = dict(self._changes())
        rows = [
            (key[cut:], data)
            for key, data in self._shape.backend.range(self.prefix, top)
            if key[cut:] not in changes
        ]
        stored = self._shape.decode_rows(rows)
        if not changes:
            return stored
        merged: list[tuple[bytes, K, Any]] = [
            (encoded, key, value) for (encoded, _), (key, value) in zip(rows, stored, strict=True)
        ]
        merged += [(encoded, key, self.get(key)) for encoded, key in changes.items()]
        merged.sort(key=itemgetter(0))
        return [(key, value) for _, key, value in merged if value is not None]

    @abstractmethod
    def drain(self, lead: bytes = b"") -> list[Change]:
        """Return what this commit changes, keys with `lead` in place of the prefix.

        It is pending from now on.
        """

    @property
    def has_pending(self) -> bool:
        """Return whether a drain gave changes that are not known to be in the backend."""
        return bool(self._pending)

    def applied(self) -> None:
        """Note that what was pending is in the backend."""
        self._pending = {}

    def rollback(self) -> None:
        """Forget what is not committed."""
        self._drains += 1
        if self._pending:
            self.complete = False
        for key in self._pending:
            self._young.pop(key, None)
            self._old.pop(key, None)
        self._pending = {}
        self._overlay = {}

    def forget(self) -> None:
        """Forget everything: the backend was changed beneath."""
        self.rollback()
        self._young = {}
        self._old = {}
        self.complete = False

    def close(self) -> None:
        """Free the cache; these entries are not used any more."""
        self.forget()
        self._shape.budget.leave(self)

    def age(self) -> None:
        """Make the young generation the old one."""
        if self._old:
            self.complete = False
        self._old = self._young
        self._young = {}

    @property
    def dirty_count(self) -> int:
        """Return how many keys the next drain looks at."""
        return len(self._overlay)

    @property
    def dirty_bytes(self) -> int:
        """Return an estimate of the memory that overlay and pending take."""
        return (len(self._overlay) + len(self._pending)) * self._entry_bytes

    def _changes(self) -> list[tuple[bytes, K]]:
        """Return each key whose value may differ from the backend's."""
        encode_key = self._shape.encode_key
        overlay = self._overlay
        changes = [(encode_key(key), key) for key in self._pending if key not in overlay]
        changes += [(encode_key(key), key) for key in overlay]
        return changes

    def _merge(
        self,
        rows: Iterator[tuple[bytes, bytes]],
        changes: list[tuple[bytes, K]],
        reverse: bool,
    ) -> Iterator[tuple[K, V]]:
        """Yield stored rows and changes in one order; of equal keys the change counts."""
        decode_key = self._shape.decode_key
        before = gt if reverse else lt
        drains = self._drains
        position, end = 0, len(changes)
        for encoded, data in rows:
            while position < end and before(changes[position][0], encoded):
                yield from self._present(changes[position][1])
                position += 1
            if position < end and changes[position][0] == encoded:
                yield from self._present(changes[position][1])
                position += 1
                continue
            key = decode_key(encoded)
            # After a commit or rollback the row may be out of date.
            if self._drains != drains or key in self._overlay:
                yield from self._present(key)
            else:
                yield key, self._show(key, encoded, data)
        for _, key in changes[position:]:
            yield from self._present(key)

    def _present(self, key: K) -> Iterator[tuple[K, V]]:
        value = self.get(key)
        if value is not None:
            yield key, value

    @abstractmethod
    def _show(self, key: K, encoded: bytes, data: bytes) -> V:
        """Return to the user the value of a stored row that is up to date."""

    @abstractmethod
    def _to_cache(self, encoded: bytes, data: bytes) -> Any:
        """Return what the cache holds for stored bytes."""

    def _load(self, key: K) -> Any:
        """Return what the cache is to hold for `key`, which is not in its young generation."""
        value = self._pending.get(key)
        if value is None:
            value = self._old.pop(key, None)
        if value is None:
            if self.complete:
                return ABSENT
            self._loads += 1
            encoded = self._shape.encode_key(key)
            data = self._shape.backend.get(self.prefix + encoded)
            value = ABSENT if data is None else self._to_cache(encoded, data)
        self._young[key] = value
        self._shape.budget.charge(self._entry_bytes)
        return value

    def _load_many(self, keys: list[K]) -> None:
        prefix, cut = self.prefix, len(self.prefix)
        by_encoded = sorted(
            [(prefix + self._shape.encode_key(key), key) for key in keys], key=itemgetter(0)
        )
        found = self._shape.backend.get_many([encoded for encoded, _ in by_encoded])
        young = self._young
        for (encoded, key), data in zip(by_encoded, found, strict=True):
            young[key] = ABSENT if data is None else self._to_cache(encoded[cut:], data)
        self._shape.budget.charge(len(keys) * self._entry_bytes)

    def _remember(self, entries: dict[K, Any], changes: list[Change]) -> None:
        """Cache what was just drained, and learn from it how large an entry is."""
        young = self._young
        count_before = len(young)
        young.update(entries)
        some = changes[:_SAMPLE]
        encoded_bytes = sum([len(key) + (0 if data is None else len(data)) for key, data in some])
        # Encoded bytes say roughly how large the objects are; twice, as a key and value are boxed.
        entry_bytes = _ENTRY_OVERHEAD_BYTES + 2 * encoded_bytes // len(some)
        self._entry_bytes = (3 * self._entry_bytes + entry_bytes) // 4
        self._shape.budget.charge((len(young) - count_before) * self._entry_bytes)


class ObjectEntries(Entries[K, V]):
    """Entries whose values are immutable: the cache holds the objects themselves."""

    def get(self, key: K, default: V | None = None) -> V | None:
        value: Any = self._overlay.get(key)
        if value is None:
            value = self._young.get(key)
            if value is None:
                value = self._load(key)
        return default if value is ABSENT else value

    def get_or_default(self, key: K, factory: Callable[[], V]) -> V:
        # As `get`, written out: nothing else is called as often.
        value: Any = self._overlay.get(key)
        if value is None:
            value = self._young.get(key)
            if value is None:
                value = self._load(key)
        return factory() if value is ABSENT else value

    def drain(self, lead: bytes = b"") -> list[Change]:
        assert not self._pending, "one commit at a time"
        overlay = self._overlay
        if not overlay:
            return []
        encode_key, encode = self._shape.key.encode, self._shape.value.encode
        try:
            changes = [
                (lead + encode_key(key), None if value is ABSENT else encode(value))
                for key, value in overlay.items()
            ]
        except (TypeError, ValueError):
            for key, value in overlay.items():  # again, to say which
                self._shape.encode_key(key)
                if value is not ABSENT:
                    self._shape.encode_value(key, value)
            raise
        self._drains += 1
        self._pending = overlay
        self._overlay = {}
        self._remember(overlay, changes)
        return changes

    def _show(self, key: K, encoded: bytes, data: bytes) -> V:
        return self._shape.decode_value(encoded, data)

    def _to_cache(self, encoded: bytes, data: bytes) -> V:
        return self._shape.decode_value(encoded, data)
