"""Makes a reader for one version of a message, as Python source that is then compiled.

What a version has, where nulls may be, and whether lengths are varints is all decided here, once;
what comes out is straight-line code. Neighbouring values of fixed size are taken in one `unpack`.

    reader(buffer, position, budget) -> (message, position after it)

No length is believed. A string must lie in the buffer; an array is refused when its elements could
not fit in what is left, and when all arrays of a message together have more than `ELEMENTS_MAX`
elements: an element of three bytes becomes an object of a hundred. The budget is what is left of
these, in a list of one number, so that all parts of a message draw on the same.

Rejected: reading by walking the descriptions each time. It is ten times slower.

Source: the Kafka protocol guide; KIP-482 for compact lengths and tagged fields; KIP-893 for structs
that may be null.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

from .schema import Field, Kind, Message
from .source import (
    INTEGERS,
    SIZED,
    Source,
    is_fixed,
    layout_of,
    least_bytes,
    length_layout,
    size_of,
)

Reader: TypeAlias = Callable[[memoryview, int, list[int]], tuple[Any, int]]


@cache
def reader(message: type[Message], version: int, flexible: bool) -> Reader:
    """Return the function that reads this version of a message.

    It raises MalformedMessage, struct.error, IndexError or UnicodeDecodeError, all of which mean
    that the bytes are wrong; `api.py` makes one error of them.
    """
    return _ReaderSource(message, version, flexible=flexible).compiled()


class _ReaderSource(Source):
    def compiled(self) -> Reader:
        self.add(0, "def read(buffer, position, budget):", "    end = len(buffer)")
        for fields in self.runs():
            if is_fixed(fields[0]):
                self._fixed(1, fields)
            else:
                self._field(1, fields[0])
        if self.tagged:
            self._tags()
        elif self.flexible:
            self.add(1, "if buffer[position]:", "    position = skip_tags(buffer, position)")
            self.add(1, "else:", "    position += 1")
        fields = self.plain + self.tagged
        arguments = ", ".join(f"{field.name}={_local(field)}" for field in fields)
        self.add(1, f"return Message({arguments}), position")
        return self.run("read")  # type: ignore[no-any-return]

    def _fixed(self, depth: int, fields: list[Field]) -> None:
        layout = layout_of(fields)
        targets = "".join(f"{_local(field)}, " for field in fields)
        self.add(
            depth,
            f"{targets}= {self.unpack(layout)}(buffer, position)",
            f"position += {size_of(layout)}",
        )
        for field in fields:
            if field.kind is Kind.UUID:
                self.add(depth, f"{_local(field)} = uuid_of({_local(field)})")

    def _field(self, depth: int, field: Field) -> None:
        if field.is_array:
            self._array(depth, field)
        else:
            nullable = field.nullable_in(self.version)
            self._value(depth, _local(field), field, nullable=nullable)

    def _value(self, depth: int, target: str, field: Field, *, nullable: bool) -> None:
        kind = field.kind
        if not isinstance(kind, Kind):
            self._message(depth, target, kind, nullable=nullable)
        elif kind in SIZED:
            self._sized(depth, target, kind, field.name, nullable=nullable)
        else:
            self.add(
                depth,
                f"{target}, = {self.unpack(kind.value)}(buffer, position)",
                f"position += {size_of(kind.value)}",
            )
            if kind is Kind.UUID:
                self.add(depth, f"{target} = uuid_of({target})")

    def _message(self, depth: int, target: str, kind: type[Message], *, nullable: bool) -> None:
        read = self.name("read", reader(kind, self.version, self.flexible))
        if nullable:  # a byte says whether there is one: 1, or -1 for null
            self.add(depth, "position += 1", "if buffer[position - 1] > 127:")
            self.add(depth, f"    {target} = None", "else:")
            depth += 1
        self.add(depth, f"{target}, position = {read}(buffer, position, budget)")

    def _length(self, depth: int, kind: Kind | type[Message], *, is_array: bool) -> None:
        if self.flexible:
            is_string = kind is Kind.STRING and not is_array
            longer = "read_string_length" if is_string else "read_length"
            self.add(depth, "length = buffer[position] - 1")
            self.add(depth, "if length < 127:", "    position += 1", "else:")
            self.add(depth, f"    length, position = {longer}(buffer, position)")
        else:
            layout = "i" if is_array else length_layout(kind)
            self.add(depth, f"length, = {self.unpack(layout)}(buffer, position)")
            self.add(depth, f"position += {size_of(layout)}")

    def _sized(self, depth: int, target: str, kind: Kind, field: str, *, nullable: bool) -> None:
        self._length(depth, kind, is_array=False)
        taken = {
            Kind.STRING: "str(buffer[position:after], 'utf-8')",
            Kind.BYTES: "bytes(buffer[position:after])",
            Kind.RECORDS: "buffer[position:after]",
        }[kind]
        if nullable:
            self.add(depth, "if length == -1:", f"    {target} = None", "else:")
            depth += 1
        self.add(
            depth,
            "after = position + length",
            "if length < 0 or after > end:",
            f"    raise refused({field!r}, length, 1, end - position)",
            f"{target} = {taken}",
            "position = after",
        )

    def _array(self, depth: int, field: Field) -> None:
        name = _local(field)
        self._length(depth, field.kind, is_array=True)
        if field.nullable_in(self.version):
            self.add(depth, "if length == -1:", f"    {name} = None", "else:")
            depth += 1
        least = least_bytes(field.kind, self.version, flexible=self.flexible)
        self.add(
            depth,
            "budget[0] -= length",
            f"if length < 0 or length * {least} > end - position or budget[0] < 0:",
            f"    raise refused({field.name!r}, length, {least}, end - position)",
        )
        if isinstance(field.kind, Kind) and field.kind in INTEGERS:
            packed = f"integers(length, {field.kind.value!r})"
            self.add(depth, f"{name} = list({packed}.unpack_from(buffer, position))")
            self.add(depth, f"position += length * {least}")
            return
        self.add(depth, f"{name} = []", "for _ in range(length):")
        self._value(depth + 1, "item", field, nullable=False)
        self.add(depth + 1, f"{name}.append(item)")

    def _tags(self) -> None:
        for field in self.tagged:
            default = self.name("default", field.default)
            copied = f"list({default})" if isinstance(field.default, list) else default
            self.add(1, f"{_local(field)} = {copied}")
        self.add(
            1,
            "count, position = read_uvarint(buffer, position)",
            "for _ in range(count):",
            "    tag, position = read_uvarint(buffer, position)",
            "    size, position = read_uvarint(buffer, position)",
            "    tag_end = position + size",
            "    if tag_end > end:",
            "        raise refused(f'tagged field {tag}', size, 1, end - position)",
        )
        for field in self.tagged:
            self.add(2, f"if tag == {field.tag}:")
            self._field(3, field)
            self.add(3, "if position != tag_end:", "    raise MalformedMessage(")
            self.add(5, f"f'{field.name} is said to have {{size}} bytes, and ends '")
            self.add(5, "f'at {position}, not at {tag_end}')")
        self.add(2, "position = tag_end")


def _local(field: Field) -> str:
    """Return the variable that holds a field's value, apart from those of the reader itself."""
    return f"its_{field.name}"
