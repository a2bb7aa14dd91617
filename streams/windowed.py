"""Windowed tables: a value per key and window of event time.

`table[key]` means the window that contains the current event. An event that comes after its
window's grace changes nothing: it is forwarded to the table's late topic. When the watermark has
passed a window's end and grace, the window is closed: its final value appears once in `closed`.
"""

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from ..log.model import NewRecord, Timestamp
from .engine.context import current
from .errors import StreamError
from .table import Table, misuse
from .timestamps import to_ms
from .view import WindowedView
from .windows import Hopping, Tumbling, Window

if TYPE_CHECKING:
    from .engine.instance import Instance
    from .topic import Topic

K = TypeVar("K")
V = TypeVar("V")

HEADER_TABLE = "millpond.late.table"
HEADER_LATENESS = "millpond.late.by-ms"
HEADER_WINDOW = "millpond.late.window-start"


class WindowedTable(Table[K, V]):
    """A table with one value per key and window. Made by `Table.tumbling` and `Table.hopping`.

    Attributes:
        windows: which windows there are, and when they close.
        closed: a stream of each window's final value, once, for `@app.agent(table.closed)`.
        updates: a stream of each new value as it is written, for `@app.agent(table.updates)`.
        late: the topic that receives late events as they came, with headers that say how late.
    """

    def __init__(
        self, table: Table[K, V], windows: "Tumbling | Hopping", late: "Topic[Any, Any]"
    ) -> None:
        super().__init__(
            table.app,
            table.name,
            table.key_codec,
            table.store_key_codec,
            table.value_codec,
            table.default,
        )
        self.windows = windows
        self.late = late
        self.closed: Derived = Derived(self, "closed")
        self.updates: Derived = Derived(self, "updates")
        self._tumbling = isinstance(windows, Tumbling)
        self._size_ms = windows.size_ms
        self._open_ms = windows.size_ms + windows.grace_ms

    def __getitem__(self, key: K) -> Any:
        """Return the value in the current event's window; with hopping windows, in all of them.

        Hopping windows overlap, so there the result is a `WindowSet`, on which arithmetic works
        window by window: `table[key] += 1` does what it says for both kinds.
        """
        try:
            instance = current.get()
            store = instance.stores[self]
        except LookupError:
            raise misuse(self) from None
        index = instance.index
        if self._tumbling and index >= 0 and self.default is not None:
            # The common case, written out: nothing else is called as often.
            run = instance.run
            timestamp = run.timestamps[index]
            start = timestamp - timestamp % self._size_ms
            if start + self._open_ms > run.stream_times[index]:
                window = store.windows.get(start)
                if window is not None:
                    return window.get_or_default(key, self.default)
                return store.get_or_default(start, key, self.default)
        starts = self._open_starts(instance)
        if self._tumbling:
            if not starts:
                return self._default(key)
            return self._read(instance, starts[0], key)
        return WindowSet(starts, tuple(self._read(instance, start, key) for start in starts))

    def __setitem__(self, key: K, value: Any) -> None:
        try:
            instance = current.get()
            store = instance.stores[self]
        except LookupError:
            raise misuse(self) from None
        index = instance.index
        if self._tumbling and index >= 0 and not instance.task.follows_updates:
            run = instance.run
            timestamp = run.timestamps[index]
            start = timestamp - timestamp % self._size_ms
            if start + self._open_ms > run.stream_times[index]:
                window = store.windows.get(start)
                if window is not None:
                    window.put(key, value)
                else:
                    store.put(start, key, value)
                return
        starts = self._open_starts(instance)
        if isinstance(value, WindowSet):
            for start, each in zip(value.starts, value.values, strict=True):
                self._write(instance, start, key, each)
            return
        for start in starts:
            self._write(instance, start, key, value)

    def __delitem__(self, key: K) -> None:
        instance = self._instance()
        for start in self._open_starts(instance):
            instance.stores[self].delete(start, key)

    def __contains__(self, key: K) -> bool:
        instance = self._instance()
        store = instance.stores[self]
        return any(store.get(start, key) is not None for start in self._open_starts(instance))

    def get(self, key: K, default: V | None = None) -> V | None:
        """Return the value in the current event's latest window, or `default`."""
        instance = self._instance()
        starts = self._open_starts(instance)
        value: V | None = instance.stores[self].get(starts[-1], key) if starts else None
        return default if value is None else value

    def update(self, key: K, change: Callable[[V], V]) -> None:
        """Replace the value by `change(value)` in each window that contains the current event."""
        instance = self._instance()
        for start in self._open_starts(instance):
            self._write(instance, start, key, change(self._read(instance, start, key)))

    def at(self, key: K, time: datetime | Timestamp) -> V | None:
        """Return the value in the latest window that contains `time`, or None if that is closed."""
        instance = self._instance()
        start = self.windows.starts(to_ms(time))[-1]
        if self.windows.is_late(start, instance.stream_time):
            return None
        value: V | None = instance.stores[self].get(start, key)
        return value

    def items(self) -> Iterator[Any]:
        """Iterate over (window start, key, value) of this task's open windows."""
        instance = self._instance()
        store = instance.stores[self]
        # Windows are taken out of the store when a run ends; which ones are closed, time decides.
        open_ones = [s for s in store.starts() if not self.windows.is_late(s, instance.stream_time)]
        for start in open_ones:
            for key, value in store.items(start):
                yield start, key, value

    def view(self) -> WindowedView[K, V]:  # type: ignore[override]
        """Return a read-only view of the committed values of open windows."""
        return WindowedView(self)

    def _instance(self) -> "Instance":
        try:
            instance = current.get()
        except LookupError:
            raise misuse(self) from None
        if self not in instance.stores:
            raise misuse(self)
        return instance

    def _open_starts(self, instance: "Instance") -> Sequence[Timestamp]:
        """Return the starts of the current event's windows that still accept it.

        If some no longer do, the event goes to the late topic, once.
        """
        index = instance.index
        run = instance.run
        if index < 0:
            raise StreamError(
                f"table {self.name!r} has a value per window, and no single event is current: "
                "iterate the batch, as in `for value in batch:`, or name the time with `table.at`"
            )
        starts = self.windows.starts(run.timestamps[index])
        watermark = run.stream_times[index]
        if not self.windows.is_late(starts[0], watermark):
            return starts
        instance.task.late(self, run, index, watermark)
        return [start for start in starts if not self.windows.is_late(start, watermark)]

    def _read(self, instance: "Instance", start: Timestamp, key: K) -> V:
        store = instance.stores[self]
        if self.default is not None:
            return store.get_or_default(start, key, self.default)  # type: ignore[no-any-return]
        value = store.get(start, key)
        if value is None:
            raise KeyError(key)
        return value  # type: ignore[no-any-return]

    def _write(self, instance: "Instance", start: Timestamp, key: K, value: V) -> None:
        instance.stores[self].put(start, key, value)
        if instance.task.follows_updates:
            instance.task.updated(self, instance, start, key, value)

    def _default(self, key: K) -> V:
        if self.default is None:
            raise KeyError(key)
        return self.default()


@dataclass(frozen=True, slots=True)
class WindowSet(Generic[V]):
    """The values of one key in overlapping windows; arithmetic applies to each."""

    starts: Sequence[Timestamp]
    values: tuple[V, ...]

    def map(self, change: Callable[[V], V]) -> "WindowSet[V]":
        """Return the set with `change` applied to each value."""
        return WindowSet(self.starts, tuple(change(value) for value in self.values))

    def _apply(self, operation: Callable[[Any, Any], Any], other: Any) -> "WindowSet[V]":
        return WindowSet(self.starts, tuple(operation(value, other) for value in self.values))

    def __add__(self, other: Any) -> "WindowSet[V]":
        return self._apply(operator.add, other)

    def __sub__(self, other: Any) -> "WindowSet[V]":
        return self._apply(operator.sub, other)

    def __mul__(self, other: Any) -> "WindowSet[V]":
        return self._apply(operator.mul, other)

    def __truediv__(self, other: Any) -> "WindowSet[V]":
        return self._apply(operator.truediv, other)

    def __or__(self, other: Any) -> "WindowSet[V]":
        return self._apply(operator.or_, other)

    def __and__(self, other: Any) -> "WindowSet[V]":
        return self._apply(operator.and_, other)


@dataclass(frozen=True, eq=False)
class Derived:
    """A stream that a windowed table gives rise to, inside the same task.

    Its events are `Window` values, keyed by the table's key, at the window's last millisecond.
    """

    table: WindowedTable[Any, Any]
    kind: Literal["closed", "updates"]

    @property
    def name(self) -> str:
        return f"{self.table.name}.{self.kind}"

    def encode(self, key: Any, value: Window[Any, Any]) -> NewRecord:
        """Return a window as a record: the table's key, and its value."""
        return NewRecord(
            self.table.key_codec.encode(value.key),
            self.table.value_codec.encode(value.value),
            value.end - 1,
        )


def late_headers(
    table: WindowedTable[Any, Any], start: Timestamp, by_ms: int
) -> list[tuple[str, bytes | None]]:
    """Return the headers that tell which window an event missed, and by how much."""
    return [
        (HEADER_TABLE, table.name.encode()),
        (HEADER_WINDOW, str(start).encode()),
        (HEADER_LATENESS, str(by_ms).encode()),
    ]
