"""Tables: state that agents read and write as if it were a dict, kept by key and partition.

A table is a definition; what it holds lives in the stores of tasks. Inside an agent the table means
the store of the agent's own task, with the writes of the commit that is under way. Everywhere else
`view()` reads what is committed.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..state.codec import Codec
from .engine.context import current
from .errors import StreamError
from .view import View

if TYPE_CHECKING:
    from .app import App
    from .engine.instance import Instance
    from .topic import Topic
    from .windowed import WindowedTable

K = TypeVar("K")
V = TypeVar("V")

Default = Callable[[], V]


class Table(Generic[K, V]):
    """A table of the latest value per key. Made by `App.Table`.

    `table[key]` of a missing key is `default()`, or a KeyError when the table has no default. A
    value that can be changed in place (a list, a dict, a Record) may be: what was read is compared
    with what is stored at commit, and written when it differs.
    """

    def __init__(
        self,
        app: "App",
        name: str,
        key_codec: Codec[K],
        store_key_codec: Codec[K],
        value_codec: Codec[V],
        default: "Default[V] | None",
    ) -> None:
        self.app = app
        self.name = name
        self.key_codec = key_codec
        self.store_key_codec = store_key_codec
        self.value_codec = value_codec
        self.default = default

    def __getitem__(self, key: K) -> V:
        # Written out here and in `__setitem__`: nothing else is called as often.
        try:
            store = current.get().stores[self]
        except LookupError:
            raise misuse(self) from None
        if self.default is not None:
            return store.get_or_default(key, self.default)  # type: ignore[no-any-return]
        value = store.get(key)
        if value is None:
            raise KeyError(key)
        return value  # type: ignore[no-any-return]

    def __setitem__(self, key: K, value: V) -> None:
        try:
            store = current.get().stores[self]
        except LookupError:
            raise misuse(self) from None
        store.put(key, value)

    def __delitem__(self, key: K) -> None:
        _store(self).delete(key)

    def __contains__(self, key: K) -> bool:
        return _store(self).get(key) is not None

    def get(self, key: K, default: V | None = None) -> V | None:
        """Return the value, or `default` when the key is missing."""
        value: V | None = _store(self).get(key)
        return default if value is None else value

    def items(self) -> Iterator[tuple[K, V]]:
        """Iterate this task's partition of the table, in the order of the encoded keys."""
        return _store(self).items()  # type: ignore[no-any-return]

    def view(self) -> View[K, V]:
        """Return a read-only view of what is committed, in all partitions that run here."""
        return View(self)

    def tumbling(
        self, size: timedelta, *, grace: timedelta, late: "Topic[Any, Any] | None" = None
    ) -> "WindowedTable[K, V]":
        """Keep one value per key and window: windows of `size`, aligned to the epoch, side by side.

        Args:
            size: the length of a window, in whole milliseconds.
            grace: how long after a window's end, in event time, events are still accepted.
            late: where an event goes that comes after that; by default ``<app>-<table>-late``.
        """
        return self.app.window(self, size, size, grace=grace, late=late)

    def hopping(
        self,
        size: timedelta,
        step: timedelta,
        *,
        grace: timedelta,
        late: "Topic[Any, Any] | None" = None,
    ) -> "WindowedTable[K, V]":
        """Keep one value per key and window: windows of `size`, one beginning every `step`."""
        return self.app.window(self, size, step, grace=grace, late=late)

    def __repr__(self) -> str:
        return f"<Table {self.name}>"


class GlobalTable(Generic[K, V]):
    """A copy of a whole compacted topic in every worker, for lookups. Made by `App.GlobalTable`.

    It can be read anywhere while the app runs, and is complete before any agent starts. It is
    written by sending to its topic, and follows the topic with a short delay.
    """

    def __init__(self, app: "App", name: str, topic: "Topic[K, V]") -> None:
        self.app = app
        self.name = name
        self.topic = topic

    def __getitem__(self, key: K) -> V:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key: K) -> bool:
        return self.get(key) is not None

    def get(self, key: K, default: V | None = None) -> V | None:
        """Return the value, or `default` when the key is missing."""
        value: V | None = self.app.running.global_copy(self).get(key)
        return default if value is None else value

    def __len__(self) -> int:
        return len(self.app.running.global_copy(self))

    def items(self) -> Iterator[tuple[K, V]]:
        """Iterate over all keys, in no particular order."""
        return iter(self.app.running.global_copy(self).items())

    def __repr__(self) -> str:
        return f"<GlobalTable {self.name}>"


def _store(table: Table[Any, Any]) -> Any:
    """Return the store behind a table for the agent that is running."""
    try:
        return current.get().stores[table]
    except LookupError:
        raise misuse(table) from None


def misuse(table: Table[Any, Any]) -> StreamError:
    """Return the error that explains why an agent, or whoever calls, can't use a table."""
    instance: Instance | None = current.get(None)
    if instance is None:
        return StreamError(
            f"table {table.name!r} is used outside an agent, where no partition is current: "
            f"read committed data with `{table.name}.view()`"
        )
    return StreamError(
        f"agent {instance.agent.name!r} uses table {table.name!r}, which could not be seen in its "
        f"code when the app was put together: name it, as in "
        f"`@app.agent({instance.agent.source_name}, tables=[{table.name}])`"
    )
