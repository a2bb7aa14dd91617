"""Entries whose values may be changed in place, without such a change ever being lost.

A value that is handed out goes into the overlay, beside the bytes it was made from. At the commit
every one is encoded again, and written if the bytes differ. Afterwards no object is kept, only bytes:
who still holds one from before holds a copy, and can't reach the state through it.

A default that is handed out is kept apart: it becomes an entry by being changed, not by being read.

We rejected proxies that watch a value (they can't see into a user's class), and deep copies (twice the
cost of encoding, which the commit needs anyway).
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from .backend import Change
from .entries import ABSENT, Entries
from .shape import Shape

K = TypeVar("K")
V = TypeVar("V")


class TrackedEntries(Entries[K, V]):
    """Entries of mutable values: the cache holds bytes, the overlay what was handed out."""

    def __init__(self, shape: Shape[K, V], prefix: bytes, *, complete: bool) -> None:
        super().__init__(shape, prefix, complete=complete)
        self._base: dict[K, bytes] = {}
        self._defaults: dict[K, tuple[V, bytes]] = {}

    def get(self, key: K, default: V | None = None) -> V | None:
        value: Any = self._overlay.get(key)
        if value is None or value is ABSENT:
            value = self._find(key)
        return default if value is ABSENT else value

    def get_or_default(self, key: K, factory: Callable[[], V]) -> V:
        value: Any = self._overlay.get(key)
        if value is None or value is ABSENT:
            given = self._defaults.get(key)
            if given is not None:
                return given[0]
            value = self._find(key)
            if value is ABSENT:
                value = factory()
                self._defaults[key] = value, self._shape.encode_value(key, value)
        return cast("V", value)

    def put(self, key: K, value: V) -> None:
        super().put(key, value)
        self._defaults.pop(key, None)

    def delete(self, key: K) -> None:
        super().delete(key)
        self._defaults.pop(key, None)

    def drain(self, lead: bytes = b"") -> list[Change]:
        assert not self._pending, "one commit at a time"
        self._adopt_defaults()
        base = self._base
        changes: list[Change] = []
        changed: dict[K, Any] = {}
        for key, value in self._overlay.items():
            if value is ABSENT:
                data = None
            else:
                data = self._shape.encode_value(key, value)
                if base.get(key) == data:
                    continue
            changes.append((lead + self._shape.encode_key(key), data))
            changed[key] = ABSENT if data is None else data
        self._drains += 1
        self._pending = changed
        self._overlay = {}
        self._base = {}
        self._defaults = {}
        if changes:
            self._remember(changed, changes)
        return changes

    def rollback(self) -> None:
        super().rollback()
        self._base = {}
        self._defaults = {}

    @property
    def dirty_count(self) -> int:
        return len(self._overlay) + len(self._defaults)

    def _find(self, key: K) -> Any:
        """Return the value of a key that has none in the overlay, handing it out; or ABSENT."""
        given = self._defaults.get(key)
        if given is not None:
            return self._adopted(key, *given)
        if key in self._overlay:
            return ABSENT
        data = self._young.get(key)
        if data is None:
            data = self._load(key)
        if data is ABSENT:
            return ABSENT
        return self._hand_out(
            key, self._shape.decode_value(self._shape.encode_key(key), data), data
        )

    def _hand_out(self, key: K, value: V, data: bytes) -> V:
        self._overlay[key] = value
        self._base[key] = data
        return value

    def _adopted(self, key: K, value: V, data: bytes) -> Any:
        """Make a default an entry if it was changed since it was handed out."""
        if self._shape.encode_value(key, value) == data:
            return ABSENT
        del self._defaults[key]
        self._overlay[key] = value
        return value

    def _adopt_defaults(self) -> None:
        for key, given in list(self._defaults.items()):
            self._adopted(key, *given)

    def _changes(self) -> list[tuple[bytes, K]]:
        self._adopt_defaults()
        return super()._changes()

    def _show(self, key: K, encoded: bytes, data: bytes) -> V:
        return self._hand_out(key, self._shape.decode_value(encoded, data), data)

    def _to_cache(self, encoded: bytes, data: bytes) -> bytes:
        return data
