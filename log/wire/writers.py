"""Makes a writer for one version of a message, as `readers.py` makes its reader.

    writer(message, chunks)          -> appends bytes to chunks

Records are appended as the very object that the message holds: who joins the chunks, or hands them
to the system one by one, makes the only copy.
"""

import struct
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

from .schema import Field, Kind, Message
from .source import INTEGERS, SIZED, Source, is_fixed, layout_of, length_layout

Writer: TypeAlias = Callable[[Any, list[Any]], None]


@cache
def writer(message: type[Message], version: int, flexible: bool) -> Writer:
    """Return the function that writes this version of a message.

    Of a value that can't be written it raises UnwritableMessage, struct.error, AttributeError,
    TypeError or UnicodeEncodeError; `api.py` makes one error of them.
    """
    return _WriterSource(message, version, flexible=flexible).compiled()


class _WriterSource(Source):
    def compiled(self) -> Writer:
        self.add(0, "def write(message, chunks):", "    append = chunks.append")
        runs = self.runs()
        no_tags = self.flexible and not self.tagged
        for fields in runs:
            if is_fixed(fields[0]):
                layout = layout_of(fields)
                if no_tags and fields is runs[-1]:
                    layout, no_tags = layout + "x", False  # the 0 that says so, as padding
                values = ", ".join(_plain_value(field, f"message.{field.name}") for field in fields)
                self.add(1, f"append({self.pack(layout)}({values}))")
            else:
                self._field(1, fields[0], f"message.{fields[0].name}")
        if self.tagged:
            self._tags()
        elif no_tags:
            self.add(1, "append(b'\\0')")
        return self.run("write")  # type: ignore[no-any-return]

    def _field(self, depth: int, field: Field, source: str) -> None:
        if field.is_array:
            self._array(depth, field, source)
        else:
            self._value(depth, field, source, nullable=field.nullable_in(self.version))

    def _value(self, depth: int, field: Field, source: str, *, nullable: bool) -> None:
        kind = field.kind
        if not isinstance(kind, Kind):
            write = self.name("write", writer(kind, self.version, self.flexible))
            if nullable:
                self.add(depth, f"if {source} is None:", "    append(b'\\xff')", "else:")
                self.add(depth + 1, "append(b'\\x01')")
                depth += 1
            self.add(depth, f"{write}({source}, chunks)")
        elif kind in SIZED:
            self._sized(depth, field, source, nullable=nullable)
        else:
            self.add(depth, f"append({self.pack(kind.value)}({_plain_value(field, source)}))")

    def _length(self, depth: int, source: str, layout: str) -> None:
        if self.flexible:
            self.add(depth, f"length = len({source}) + 1")
            self.add(depth, "append(SMALL[length] if length < 128 else uvarint(length))")
        else:
            self.add(depth, f"append({self.pack(layout)}(len({source})))")

    def _null(self, layout: str) -> str:
        null = b"\0" if self.flexible else struct.pack(">" + layout, -1)
        return f"append({null!r})"

    def _sized(self, depth: int, field: Field, source: str, *, nullable: bool) -> None:
        assert isinstance(field.kind, Kind)
        layout = length_layout(field.kind)
        if nullable:
            self.add(depth, f"if {source} is None:", f"    {self._null(layout)}", "else:")
            depth += 1
        if field.kind is Kind.STRING:
            self.add(depth, f"data = {source}.encode()", "if len(data) > STRING_BYTES_MAX:")
            self.add(depth, f"    raise too_long({field.name!r}, len(data))")
        else:
            self.add(depth, f"data = {source}")
        self._length(depth, "data", layout)
        self.add(depth, "append(data)")

    def _array(self, depth: int, field: Field, source: str) -> None:
        if field.nullable_in(self.version):
            self.add(depth, f"if {source} is None:", f"    {self._null('i')}", "else:")
            depth += 1
        self._length(depth, source, "i")
        if isinstance(field.kind, Kind) and field.kind in INTEGERS:
            packed = f"integers(len({source}), {field.kind.value!r})"
            self.add(depth, f"append({packed}.pack(*{source}))")
            return
        self.add(depth, f"for item in {source}:")
        self._value(depth + 1, field, "item", nullable=False)

    def _tags(self) -> None:
        self.add(1, "tags = []")
        for field in self.tagged:
            source = f"message.{field.name}"
            default = self.name("default", field.default)
            self.add(1, f"if {source} is not {default} and {source} != {default}:")
            self.add(2, "outer, chunks = chunks, []", "append = chunks.append")
            self._field(2, field, source)
            self.add(2, f"tags.append(({field.tag}, b''.join(chunks)))", "chunks = outer")
        self.add(
            1,
            "append = chunks.append",
            "append(uvarint(len(tags)))",
            "for tag, data in tags:",
            "    append(uvarint(tag))",
            "    append(uvarint(len(data)))",
            "    append(data)",
        )


def _plain_value(field: Field, source: str) -> str:
    return f"{source}.bytes" if field.kind is Kind.UUID else source
