"""How types are named in messages and in the names of codecs."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal, Optional

import pytest
from millpond.streams.types.shapes import fits, show_type, without_none


@dataclass
class Order:
    id: str


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (int, "int"),
        (Order, "Order"),
        (list[Order], "list[Order]"),
        (dict[str, tuple[int, ...]], "dict[str, tuple[int, ...]]"),
        (int | None, "int | None"),
        (Optional[Order], "Order | None"),  # noqa: UP045 - the old spelling is what is tested
        (Annotated[str, "anything"], "str"),
        (Literal["a", 1], "Literal['a', 1]"),
        (Any, "Any"),
        (None, "None"),
        (type(None), "None"),
        (Callable, "Callable"),
        ("json", "'json'"),
    ],
)
def test_type_is_shown_as_its_author_would_write_it(wanted: Any, shown: str) -> None:
    assert show_type(wanted) == shown


def test_local_classes_are_shown_without_where_they_were_made() -> None:
    class Local:
        pass

    assert show_type(Local) == "Local"


@pytest.mark.parametrize(
    ("wanted", "rest", "had_none"),
    [
        (int | None, int, True),
        (Optional[str], str, True),  # noqa: UP045
        (int | str | None, int | str, True),
        (int | str, int | str, False),
        (int, int, False),
        (None, None, False),
    ],
)
def test_without_none(wanted: Any, rest: Any, had_none: bool) -> None:
    assert without_none(wanted) == (rest, had_none)


def test_a_bool_is_no_int_and_a_datetime_no_date() -> None:
    assert fits(5, (int,))
    assert not fits(True, (int,))
    assert fits(True, (int, bool))
    assert fits(True, (object,))
    noon = datetime(2024, 5, 6, 12)  # noqa: DTZ001
    assert not fits(noon, (date,))
    assert fits(noon, (date, datetime))
    assert fits(noon.date(), (date,))
