"""Reading tables from outside the stream: committed data only, of the partitions that run here."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..log.model import Timestamp
from .engine.partitioner import Partitioner
from .timestamps import to_ms

if TYPE_CHECKING:
    from .table import Table
    from .windowed import WindowedTable

K = TypeVar("K")
V = TypeVar("V")


class View(Generic[K, V]):
    """A table's committed values, as a read-only mapping. Made by `Table.view`.

    A view is cheap to make and always reads what is committed at that moment. It may be read
    anywhere in the process that runs the app, while it runs.
    """

    def __init__(self, table: "Table[K, V]") -> None:
        self._table = table
        stores = table.app.running.stores_of(table)
        self._views: dict[int, Any] = {number: store.view() for number, store in stores.items()}
        self._partition = Partitioner(table.app.running.partitions_of(table)).partition

    def get(self, key: K, default: V | None = None) -> V | None:
        """Return the value, or `default` when the key is missing, or another worker has it."""
        view = self._views.get(self._partition(self._table.key_codec.encode(key)))
        value: V | None = None if view is None else view.get(key)
        return default if value is None else value

    def __getitem__(self, key: K) -> V:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key: K) -> bool:
        return self.get(key) is not None

    def __iter__(self) -> Iterator[K]:
        return (key for key, _ in self.items())

    def items(self) -> Iterator[tuple[K, V]]:
        """Iterate over all keys, partition by partition, a page of up to 1000 at a time."""
        for _, view in sorted(self._views.items()):
            yield from _all_pages(view.page)


class WindowedView(Generic[K, V]):
    """The committed values of a windowed table's open windows. Made by `WindowedTable.view`."""

    def __init__(self, table: "WindowedTable[K, V]") -> None:
        self._table = table
        stores = table.app.running.stores_of(table)
        self._views: dict[int, Any] = {number: store.view() for number, store in stores.items()}
        self._partition = Partitioner(table.app.running.partitions_of(table)).partition

    def get(self, key: K, time: datetime | Timestamp) -> V | None:
        """Return the value in the latest window that contains `time`, if it is open."""
        view = self._views.get(self._partition(self._table.key_codec.encode(key)))
        start = self._table.windows.starts(to_ms(time))[-1]
        value: V | None = None if view is None else view.get(start, key)
        return value

    def windows(self, key: K) -> list[tuple[Timestamp, V]]:
        """Return (start, value) of the key's open windows, earliest first, at most 1000."""
        view = self._views.get(self._partition(self._table.key_codec.encode(key)))
        return [] if view is None else view.windows_of(key)

    def items(self) -> Iterator[tuple[Timestamp, K, V]]:
        """Iterate over (start, key, value) of all open windows, partition by partition."""
        for _, view in sorted(self._views.items()):
            for start in view.starts():
                for key, value in _all_pages(view.page, start):
                    yield start, key, value


def _all_pages(page: Any, *args: Any) -> Iterator[tuple[Any, Any]]:
    cursor = None
    while True:
        found = page(*args, after=cursor)
        yield from found.items
        cursor = found.cursor
        if cursor is None:
            return
