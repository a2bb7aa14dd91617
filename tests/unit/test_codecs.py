"""What each type looks like on the wire, what comes back, and what is refused with which words."""

import enum
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NewType, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest
from millpond.log.errors import ConfigError
from millpond.state.codec import Codec
from millpond.streams.record import Record
from millpond.streams.types.codecs import big_endian_int64, codec_for, raw

WHAT = "topic 'orders': value"


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Order(Record):
    id: str
    amount: float
    at: datetime | None = None


class FrozenOrder(Record, frozen=True):
    id: str
    tags: tuple[str, ...] = ()


class FrozenWithList(Record, frozen=True):
    tags: list[str]


class Node(Record, frozen=True):
    name: str
    next: "Node | None" = None


@dataclass
class Point:
    x: int
    y: int = 0


@dataclass(frozen=True)
class FrozenPoint:
    x: int
    labels: dict[str, str] = field(default_factory=dict)


class Movie(TypedDict):
    title: str
    year: int


class Pair(NamedTuple):
    left: str
    right: int


class User(pydantic.BaseModel):
    name: str
    full_name: str = pydantic.Field(default="", alias="fullName")


class FrozenUser(pydantic.BaseModel, frozen=True):
    name: str
    tags: tuple[str, ...] = ()


class FrozenTeam(pydantic.BaseModel, frozen=True):
    lead: FrozenUser
    members: list[str] = []


UserId = NewType("UserId", str)
NOW = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
ID = UUID("12345678-1234-5678-1234-567812345678")

WIRE: list[tuple[Any, Any, bytes]] = [
    (str, "grüß", "grüß".encode()),
    (bytes, b"\x00\xff", b"\x00\xff"),
    (raw, b"as it is", b"as it is"),
    ("raw", b"as it is", b"as it is"),
    (int, -42, b"-42"),
    (int, 10**30, b"1" + b"0" * 30),
    (float, 2.5, b"2.5"),
    (bool, True, b"true"),
    (datetime, NOW, b"2024-05-06T07:08:09.123456Z"),
    (date, NOW.date(), b"2024-05-06"),
    (timedelta, timedelta(seconds=90), b"PT90S"),
    (UUID, ID, str(ID).encode()),
    (Decimal, Decimal("1.50"), b"1.50"),
    (Colour, Colour.RED, b"red"),
    (Level, Level.HIGH, b"2"),
    (Literal["a", "b"], "a", b"a"),
    (UserId, UserId("u1"), b"u1"),
    (Annotated[str, msgspec.Meta(max_length=3)], "abc", b"abc"),
    (str | None, "x", b"x"),
    (Order, Order("1", 2.5), b'{"id":"1","amount":2.5,"at":null}'),
    (Order | None, Order("1", 2.5), b'{"id":"1","amount":2.5,"at":null}'),
    (Node, Node("a", Node("b")), b'{"name":"a","next":{"name":"b","next":null}}'),
    (Point, Point(1, 2), b'{"x":1,"y":2}'),
    (Movie, {"title": "M", "year": 1931}, b'{"title":"M","year":1931}'),
    (Pair, Pair("l", 1), b'["l",1]'),
    (list[int], [1, 2], b"[1,2]"),
    (dict[str, float], {"a": 0.5}, b'{"a":0.5}'),
    (tuple[str, int], ("u", 1), b'["u",1]'),
    (set[int], {1}, b"[1]"),
    (list[Order], [Order("1", 0.0)], b'[{"id":"1","amount":0.0,"at":null}]'),
    ("json", {"a": [1, None]}, b'{"a":[1,null]}'),
    (Any, [1], b"[1]"),
    (dict, {"a": 1}, b'{"a":1}'),
    (list, [1, "x"], b'[1,"x"]'),
    (User, User(name="n", fullName="f"), b'{"name":"n","fullName":"f"}'),
    (list[User], [User(name="n")], b'[{"name":"n","fullName":""}]'),
    (big_endian_int64, -2, b"\xff\xff\xff\xff\xff\xff\xff\xfe"),
]


@pytest.mark.parametrize(("wanted", "value", "data"), WIRE)
def test_value_is_written_as_documented_and_comes_back(
    wanted: Any, value: object, data: bytes
) -> None:
    codec = codec_for(wanted, what=WHAT)
    assert codec.encode(value) == data
    back = codec.decode(data)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        (str, 5),
        (str, b"x"),
        (bytes, "x"),
        (int, "5"),
        (int, True),
        (int, 5.0),
        (float, "x"),
        (bool, 1),
        (date, NOW),
        (datetime, "2024-05-06"),
        (Colour, "red"),
        (Order, {"id": "1", "amount": 2.5}),
        (Order, Point(1, 2)),
        (Movie, Point(1, 2)),
        (list[int], (1, 2)),
        (User, {"name": "n"}),
        (dict, [1]),
        (str, None),
        (Order, None),
        (Order | None, None),
        ("json", None),
        (big_endian_int64, "5"),
    ],
)
def test_value_of_another_type_is_refused_where_it_is_written(wanted: Any, value: object) -> None:
    with pytest.raises(TypeError) as caught:
        codec_for(wanted, what=WHAT).encode(value)
    message = str(caught.value)
    assert repr(value) in message
    assert value is None or type(value).__qualname__ in message
    assert "expected " in message
    if not isinstance(wanted, Codec):
        assert message.startswith(WHAT)


def test_two_classes_of_one_name_are_told_apart_in_the_message() -> None:
    class Order(Record):
        id: str

    with pytest.raises(TypeError, match="another class of that name, in module "):
        codec_for(Order, what=WHAT).encode(globals()["Order"]("1", 1.0))


def test_an_int_will_do_for_a_float() -> None:
    codec = codec_for(float, what=WHAT)
    assert codec.decode(codec.encode(5)) == 5.0
    assert type(codec.decode(b"5")) is float


def test_bytes_like_objects_will_do_for_bytes() -> None:
    assert codec_for(bytes, what=WHAT).encode(bytearray(b"ab")) == b"ab"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "data"),
    [
        (str, b"\xff"),
        (int, b"12a"),
        (int, b"1.5"),
        (int, b"\x00\x00\x00\x00\x00\x00\x00\x05"),
        (bool, b"1"),
        (float, b"null"),
        (datetime, b"yesterday"),
        (Colour, b"green"),
        (Literal["a"], b"b"),
        (Annotated[str, msgspec.Meta(max_length=3)], b"abcd"),
        (UUID, b"\xff\xff"),
        (Order, b"{}"),
        (Order, b'{"id":1,"amount":2}'),
        (Order, b"not json"),
        (Movie, b'{"title":"M"}'),
        (User, b"{}"),
        (dict, b"[]"),
        (list, b"{}"),
        ("json", b"{"),
        (big_endian_int64, b"123"),
    ],
)
def test_bytes_that_do_not_fit_are_a_value_error(wanted: Any, data: bytes) -> None:
    with pytest.raises(ValueError):
        codec_for(wanted, what=WHAT).decode(data)


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        (float, float("nan")),
        (float, float("inf")),
        (Order, Order("1", float("nan"))),
        (list[float], [0.5, float("-inf")]),
    ],
)
def test_what_json_could_not_give_back_is_refused_where_it_is_written(
    wanted: Any, value: object
) -> None:
    with pytest.raises(ValueError, match="NaN"):
        codec_for(wanted, what=WHAT).encode(value)


def test_none_beside_a_float_is_no_nan() -> None:
    order = Order("null", 1.0, at=None)
    codec = codec_for(Order, what=WHAT)
    assert codec.decode(codec.encode(order)) == order


@pytest.mark.parametrize("value", [{1: 2}, {"at": NOW}, {"p": Point(1)}, {"x": object()}])
def test_plain_json_refuses_what_would_come_back_as_something_else(value: object) -> None:
    with pytest.raises(TypeError, match="Give a type"):
        codec_for("json", what=WHAT).encode(value)


def test_a_literal_or_restricted_text_is_checked_when_written() -> None:
    with pytest.raises(ValueError, match="is no Literal"):
        codec_for(Literal["a", "b"], what=WHAT).encode("c")
    with pytest.raises(ValueError, match="is no str"):
        codec_for(Annotated[str, msgspec.Meta(max_length=3)], what=WHAT).encode("abcd")


def test_something_inside_that_cannot_be_encoded_is_named() -> None:
    with pytest.raises(TypeError, match=r"value: .*function.* can't be encoded"):
        codec_for(dict[str, Any], what=WHAT).encode({"f": lambda: 1})


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        (complex, "complex"),
        (list[complex], "complex"),
        (Callable[[], int], "Callable"),
        (5, "5"),
        ("jsn", "'jsn'"),
        (list[int] | tuple[int, ...], "array-like"),
        (Order(id="1", amount=1.0), "Order"),
        ([int], "int"),
    ],
)
def test_unsupported_type_is_refused_at_definition_and_says_what_works(
    wanted: Any, named: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        codec_for(wanted, what=WHAT)
    message = str(caught.value)
    assert message.startswith(WHAT)
    assert named in message
    assert "mp.Record" in message


def test_annotation_that_cannot_be_resolved_is_named() -> None:
    class Broken(Record):
        other: "Missing"  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ConfigError, match="Missing"):
        codec_for(Broken, what=WHAT)


@pytest.mark.parametrize(
    ("wanted", "mutable"),
    [
        (str, False),
        (bytes, False),
        (int, False),
        (float, False),
        (bool, False),
        (datetime, False),
        (Decimal, False),
        (UUID, False),
        (Colour, False),
        (tuple[str, int], False),
        (tuple[str, ...], False),
        (tuple[list[int], int], True),
        (frozenset[int], False),
        (Pair, False),
        (FrozenOrder, False),
        (FrozenWithList, True),
        (Node, False),
        (Order, True),
        (Order | None, True),
        (FrozenOrder | None, False),
        (Point, True),
        (FrozenPoint, True),
        (Movie, True),
        (list[int], True),
        (dict[str, int], True),
        (set[int], True),
        ("json", True),
        (dict, True),
        (Any, True),
        (tuple[Any, int], True),
        (User, True),
        (FrozenUser, False),
        (FrozenTeam, True),
        (list[FrozenUser], True),
    ],
)
def test_a_codec_knows_whether_values_could_change(wanted: Any, mutable: bool) -> None:
    assert codec_for(wanted, what=WHAT).mutable is mutable


def test_names_tell_type_and_encoding() -> None:
    names = [codec_for(each, what=WHAT).name for each in (int, str, Order, dict[str, int], "json")]
    assert names == ["int", "str", "json:Order", "json:dict[str, int]", "json"]
    assert codec_for(datetime, what=WHAT).name == "text:datetime"


def test_a_codec_of_ones_own_is_used_as_it_is() -> None:
    rot13: Codec[str] = Codec("mine", lambda text: text.encode(), lambda data: data.decode(), False)
    assert codec_for(rot13, what=WHAT) is rot13


def test_unions_of_tagged_records_are_told_apart() -> None:
    class Paid(Record, tag=True):
        id: str

    class Refunded(Record, tag=True):
        id: str

    codec = codec_for(Paid | Refunded, what=WHAT)
    for event in (Paid("1"), Refunded("1")):
        back = codec.decode(codec.encode(event))
        assert back == event
        assert type(back) is type(event)
    with pytest.raises(TypeError, match=r"expected Paid \| Refunded"):
        codec.encode(Order("1", 0.0))


def test_record_may_be_subclassed_and_fields_added() -> None:
    class NewOrder(Order):
        coupon: str = "none"

    new = codec_for(NewOrder, what=WHAT)
    old = codec_for(Order, what=WHAT)
    assert new.decode(old.encode(Order("1", 1.0))) == NewOrder("1", 1.0)
    assert old.decode(new.encode(NewOrder("1", 1.0, coupon="x"))) == Order("1", 1.0)


def test_frozen_record_cannot_be_changed_and_is_a_key() -> None:
    order = FrozenOrder("1")
    with pytest.raises(AttributeError):
        order.id = "2"  # type: ignore[misc]
    assert {order: 1}[FrozenOrder("1")] == 1


def test_pydantic_is_imported_only_by_those_who_use_it() -> None:
    code = (
        "import sys; from millpond.streams.types.codecs import codec_for; from millpond.streams.record "
        "import Record; codec_for(type('R', (Record,), {'__annotations__': {'a': int}}), what='x'); "
        "assert 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
