"""Whatever a codec writes, it reads back equal; and a changed byte is a ValueError or a value."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from millpond.streams.record import Record
from millpond.streams.types.codecs import codec_for


class Item(Record, frozen=True):
    name: str
    price: float | None
    tags: tuple[str, ...] = ()


class Order(Record):
    id: int
    at: datetime
    items: list[Item]
    notes: dict[str, bytes]


@dataclass
class Point:
    x: float
    y: int


texts = st.text(st.characters(codec="utf-8"), max_size=20)
finite = st.floats(allow_nan=False, allow_infinity=False)
times = st.datetimes(timezones=st.just(UTC))
items = st.builds(Item, texts, st.none() | finite, st.lists(texts, max_size=3).map(tuple))
orders = st.builds(
    Order,
    st.integers(),
    times,
    st.lists(items, max_size=3),
    st.dictionaries(texts, st.binary(max_size=5), max_size=3),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | finite | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)

KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, texts),
    (bytes, st.binary(max_size=20)),
    (int, st.integers()),
    (float, finite),
    (datetime, times),
    (timedelta, st.timedeltas(timedelta(days=-1000), timedelta(days=1000))),
    (UUID, st.uuids()),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (Order, orders),
    (Item | None, items),
    (Point, st.builds(Point, finite, st.integers())),
    (dict[str, list[int]], st.dictionaries(texts, st.lists(st.integers(), max_size=3), max_size=3)),
    ("json", json_values.filter(lambda value: value is not None)),
]


@pytest.mark.parametrize(("wanted", "values"), KINDS, ids=[str(kind) for kind, _ in KINDS])
def test_what_is_written_is_read_back(wanted: Any, values: st.SearchStrategy[Any]) -> None:
    codec = codec_for(wanted, what="test")

    @given(values)
    def check(value: Any) -> None:
        data = codec.encode(value)
        assert codec.decode(data) == value
        assert codec.encode(codec.decode(data)) == data

    check()


@pytest.mark.parametrize(("wanted", "values"), KINDS, ids=[str(kind) for kind, _ in KINDS])
def test_damage_is_a_value_error_or_another_value(
    wanted: Any, values: st.SearchStrategy[Any]
) -> None:
    codec = codec_for(wanted, what="test")

    @given(values, st.data())
    def check(value: Any, draw: st.DataObject) -> None:
        data = bytearray(codec.encode(value))
        if data:
            data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
        try:
            back = codec.decode(bytes(data))
        except ValueError:
            return
        if back is not None and wanted != "json":
            msgspec.convert(msgspec.to_builtins(back), wanted)

    check()
