"""Messages at random, made from the same descriptions that the codec is compiled from.

`messages(cls, version)` is a Hypothesis strategy. A message that it makes has a value in every field
that the version has, null and the default among them, and keeps the default in all others: so what
is read back must be equal to it.

Numbers keep to what fits their type, and are often its smallest or largest; one text in a few is
longer than 127 bytes, where a compact length takes a second byte. What other implementations can't
represent is narrowed by the tests against them, with `Narrow`.
"""

import functools
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

from hypothesis import strategies as st
from millpond.log.wire import messages as all_messages
from millpond.log.wire.api import Api
from millpond.log.wire.schema import Field, Kind, Message, fields_of

MessageT = TypeVar("MessageT", bound=Message)

Narrow: TypeAlias = Callable[[type[Message], Field, int], st.SearchStrategy[Any] | None]
"""Given a field and a version: a strategy to use for its values instead, or None to use ours."""


class Case(NamedTuple):
    """One version of a request or a response."""

    api: Api[Any, Any]
    message: type[Message]
    version: int

    @property
    def is_request(self) -> bool:
        return self.message is self.api.request

    @property
    def flexible(self) -> bool:
        return self.api.is_flexible(self.version)

    def tagged(self) -> set[str]:
        """Return the names of the message's own tagged fields."""
        return {field.name for field in fields_of(self.message) if field.tag is not None}

    def read(self, data: bytes | bytearray) -> Message:
        """Read all bytes as this case's message."""
        read = self.api.read_request if self.is_request else self.api.read_response
        message: Message = read(self.version, memoryview(data))
        return message

    def write(self, message: Message) -> bytes:
        """Return the bytes of a message, without a header."""
        chunks: list[bytes] = []
        write = self.api.write_request if self.is_request else self.api.write_response
        write(self.version, message, chunks)
        return b"".join(chunks)

    def __str__(self) -> str:
        return f"{self.message.__name__} v{self.version}"


def all_apis() -> list[Api[Any, Any]]:
    """Return all APIs that are described, by key."""
    names = [module.name for module in pkgutil.iter_modules(all_messages.__path__)]
    modules = [importlib.import_module(f"{all_messages.__name__}.{name}") for name in names]
    found = [value for each in modules for value in vars(each).values() if isinstance(value, Api)]
    return sorted(found, key=lambda api: api.key)


def all_cases() -> dict[str, list[Case]]:
    """Return all versions of every request and response, by its name."""
    return {
        message.__name__: [
            Case(api, message, version) for version in range(api.first, api.last + 1)
        ]
        for api in all_apis()
        for message in (api.request, api.response)
    }


def messages(
    message: type[MessageT], version: int, narrow: Narrow | None = None
) -> st.SearchStrategy[MessageT]:
    """Make messages with everything that a version has."""
    return _messages(message, version, narrow)


@functools.cache
def _messages(
    message: type[MessageT], version: int, narrow: Narrow | None
) -> st.SearchStrategy[MessageT]:
    return st.builds(
        message,
        **{
            field.name: _values(message, field, version, narrow)
            for field in fields_of(message)
            if field.in_version(version)
        },
    )


def _values(
    message: type[Message], field: Field, version: int, narrow: Narrow | None
) -> st.SearchStrategy[Any]:
    narrowed = narrow(message, field, version) if narrow else None
    if narrowed is not None:
        values = narrowed
    elif isinstance(field.kind, Kind):
        values = _PLAIN[field.kind]
    else:
        values = _messages(field.kind, version, narrow)
    if field.is_array:
        values = st.lists(values, max_size=2)
    if field.nullable_in(version):
        values = st.none() | values
    if field.tag is not None:
        values = st.just(field.default) | values
    return values


def values_of(
    message: Message, version: int, convert: Callable[[Field, Any], Any] = lambda _, value: value
) -> list[Any]:
    """Return what a version has of a message, in the order of its fields: lists within lists.

    `convert` is called for each field before its parts are looked at.
    """
    values = []
    for field in fields_of(type(message)):
        if field.in_version(version):
            value = convert(field, getattr(message, field.name))
            if isinstance(value, Message):
                value = values_of(value, version, convert)
            elif isinstance(value, list) and isinstance(field.kind, type):
                value = [values_of(item, version, convert) for item in value]
            values.append(value)
    return values


def _integers(bits: int, *, signed: bool = True) -> st.SearchStrategy[int]:
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return st.integers(least, most) | st.sampled_from([least, most, 0])


_PLAIN: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.BOOL: st.booleans(),
    Kind.INT8: _integers(8),
    Kind.INT16: _integers(16),
    Kind.UINT16: _integers(16, signed=False),
    Kind.INT32: _integers(32),
    Kind.UINT32: _integers(32, signed=False),
    Kind.INT64: _integers(64),
    Kind.FLOAT64: st.floats(allow_nan=False),
    Kind.UUID: st.uuids(allow_nil=True),
    Kind.STRING: st.text(max_size=4) | st.sampled_from(["a" * 127, "ü" * 100]),
    Kind.BYTES: st.binary(max_size=4) | st.just(b"b" * 128),
    Kind.RECORDS: st.binary(max_size=4) | st.just(b"r" * 20_000),
}
