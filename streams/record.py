"""The base class for events, for those who have no types of their own yet."""

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    # To type checkers it is Struct itself: of a subclass they would not allow frozen=True.
    Record = msgspec.Struct
else:

    class Record(msgspec.Struct):
        """A typed event: fields by annotation, checked when it is read from the log.

        ```python
        class Order(mp.Record):
            id: str
            amount: float
            coupon: str | None = None
        ```

        It is a `msgspec.Struct`, so everything msgspec offers works: ``class Order(mp.Record,
        frozen=True)`` makes it immutable and hashable, `msgspec.structs.replace` makes a changed copy.
        Prefer frozen ones in tables: a store needs not look for changes in them.

        Adding a field with a default keeps old records readable, and fields that are not known are
        passed over, so that producers may be ahead of consumers.
        """
