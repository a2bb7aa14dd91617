"""Keys of stores: what may be one, what comes back, and that equal keys have equal bytes.

That bytes sort as the keys do is shown in tests/property/test_store_key_order.py.
"""

import enum
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal, NamedTuple
from uuid import UUID

import pytest
from millpond.log.errors import ConfigError
from millpond.state.codec import Codec
from millpond.streams.record import Record
from millpond.streams.types.codecs import big_endian_int64
from millpond.streams.types.store_keys import store_key_codec_for

WHAT = "table 'totals': key"


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


class Mixed(enum.Enum):
    TEXT = "t"
    NUMBER = 1


class Seat(NamedTuple):
    row: str
    number: int


class Place(Record, frozen=True):
    city: str
    street: str


class Changeable(Record):
    city: str


class Keyword(Record, frozen=True, kw_only=True):
    a: int = 1
    b: str


@dataclass(frozen=True)
class Cell:
    x: int
    y: int


NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wanted", "key"),
    [
        (str, "grüß"),
        (str, ""),
        (bytes, b"\x00\xff"),
        (int, -(2**63)),
        (int, 2**63 - 1),
        (float, -0.5),
        (float, float("inf")),
        (bool, False),
        (datetime, NOON),
        (datetime, datetime(1, 1, 1, tzinfo=UTC)),
        (date, date(1, 1, 1)),
        (timedelta, timedelta(days=-1, microseconds=1)),
        (UUID, UUID(int=5)),
        (Size, Size.LARGE),
        (Literal[1, 2], 2),
        (tuple[str, int], ("a\x00b\x00\x00", -1)),
        (tuple[bytes, bytes], (b"\x00\x00\xff", b"")),
        (tuple[str, tuple[int, str]], ("", (0, "\x00"))),
        (Seat, Seat("A", 12)),
        (Place, Place("Utrecht", "Oudegracht")),
        (Keyword, Keyword(a=2, b="x")),
        (Cell, Cell(1, -2)),
    ],
)
def test_key_comes_back(wanted: Any, key: object) -> None:
    codec = store_key_codec_for(wanted, what=WHAT)
    back = codec.decode(codec.encode(key))
    assert back == key
    assert type(back) is type(key)
    assert not codec.mutable


def test_equal_keys_have_equal_bytes() -> None:
    floats = store_key_codec_for(float, what=WHAT)
    assert floats.encode(-0.0) == floats.encode(0.0) == floats.encode(0)
    times = store_key_codec_for(datetime, what=WHAT)
    cet = timezone(timedelta(hours=1))
    assert times.encode(NOON) == times.encode(NOON.astimezone(cet))


@pytest.mark.parametrize(
    ("wanted", "key", "error"),
    [
        (int, "5", TypeError),
        (int, True, TypeError),
        (int, 2**63, ValueError),
        (float, float("nan"), ValueError),
        (float, "x", TypeError),
        (bool, 1, TypeError),
        (date, NOON, TypeError),
        (datetime, datetime(2024, 5, 6), ValueError),  # noqa: DTZ001
        (Size, "l", TypeError),
        (Literal["a"], "b", ValueError),
        (tuple[str, int], ("a",), TypeError),
        (tuple[str, int], ("a", "b"), TypeError),
        (tuple[str, int], "ab", TypeError),
        (Place, ("Utrecht", "Oudegracht"), TypeError),
        (str, None, TypeError),
    ],
)
def test_wrong_key_is_refused(wanted: Any, key: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        store_key_codec_for(wanted, what=WHAT).encode(key)


@pytest.mark.parametrize(
    ("wanted", "data"),
    [
        (int, b"1234567"),
        (int, b"123456789"),
        (float, b""),
        (bool, b""),
        (UUID, b"123"),
        (date, b"\xff" * 8),
        (tuple[str, int], b"abc"),
        (tuple[str, int], b"abc\x00\x00"),
        (Size, b"xl\x00\x00"),
    ],
)
def test_damaged_key_is_a_value_error(wanted: Any, data: bytes) -> None:
    with pytest.raises(ValueError):
        store_key_codec_for(wanted, what=WHAT).decode(data)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (Changeable, "frozen=True"),
        (tuple[Changeable, int], "frozen=True"),
        (list[int], "take a tuple"),
        (dict, "take a tuple"),
        (Any, "no order"),
        (int | None, "None is no key"),
        (Decimal, "take int or str"),
        (Mixed, "all str or all int"),
        (Literal["a", 1], "not all text"),
        (tuple[int, ...], "no order"),
        (complex, "complex"),
    ],
)
def test_type_that_cannot_be_a_key_is_refused_at_definition(wanted: Any, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        store_key_codec_for(wanted, what=WHAT)
    assert why in str(caught.value)
    assert str(caught.value).startswith(WHAT)


def test_name_tells_the_layout_so_a_changed_one_is_noticed() -> None:
    assert store_key_codec_for(Place, what=WHAT).name == "ordered:(str,str)"
    assert store_key_codec_for(Seat, what=WHAT).name == "ordered:(str,int64)"
    assert store_key_codec_for(int, what=WHAT).name == "ordered:int64"


def test_a_codec_of_ones_own_is_used_as_it_is() -> None:
    codec: Codec[int] = big_endian_int64
    assert store_key_codec_for(codec, what=WHAT) is codec
