"""Makes a reader and a writer for one version of a message, as Python source that is then compiled.

What a version has, where nulls may be, and whether lengths are varints is all decided here, once;
what comes out is straight-line code. Neighbouring values of fixed size are taken in one `unpack`.

    reader(buffer, position, budget) -> (message, position after it)
    writer(message, chunks)          -> appends bytes to chunks

No length is believed. A string must lie in the buffer; an array is refused when its elements could
not fit in what is left, and when all arrays of a message together have more than `ELEMENTS_MAX`
elements: an element of three bytes becomes an object of a hundred.

Rejected: reading by walking the descriptions each time. It is ten times slower.

Source: the Kafka protocol guide; KIP-482 for compact lengths and tagged fields.
"""

import struct
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, Final, TypeAlias
from uuid import UUID

from .errors import MalformedMessage
from .schema import Field, Kind, Message, fields_of

ELEMENTS_MAX: Final = 1_000_000

Reader: TypeAlias = Callable[[memoryview, int, list[int]], tuple[Any, int]]
Writer: TypeAlias = Callable[[Any, list[Any]], None]

_SIZED: Final = {Kind.STRING, Kind.BYTES, Kind.RECORDS}
_INTEGERS: Final = {Kind.INT8, Kind.INT16, Kind.UINT16, Kind.INT32, Kind.UINT32, Kind.INT64}


@cache
def reader(message: type[Message], version: int, *, flexible: bool) -> Reader:
    """Return the function that reads this version of a message.

    It raises MalformedMessage, struct.error, IndexError or UnicodeDecodeError, all of which mean
    that the bytes are wrong; `api.py` makes one error of them.
    """
    return _ReaderSource(message, version, flexible=flexible).compiled()


@cache
def writer(message: type[Message], version: int, *, flexible: bool) -> Writer:
    """Return the function that writes this version of a message."""
    return _WriterSource(message, version, flexible=flexible).compiled()


# -- what the compiled code calls ------------------------------------------------------------------


def read_uvarint(buffer: memoryview, position: int) -> tuple[int, int]:
    """Read an unsigned varint of at most five bytes."""
    value = shift = 0
    while True:
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 28:
            raise MalformedMessage(f"a varint of more than five bytes at {position}")


def uvarint(value: int) -> bytes:
    """Encode an unsigned varint."""
    if value < 0x80:
        return _SMALL[value]
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def check_count(count: int, least_bytes: int, left: int, budget: list[int]) -> None:
    """Refuse an array that can't be what it says."""
    if count * least_bytes > left:
        raise MalformedMessage(
            f"an array of {count} elements of at least {least_bytes} bytes, but {left} are left"
        )
    budget[0] -= count
    if budget[0] < 0:
        raise MalformedMessage(f"more than {ELEMENTS_MAX} elements in one message")


def cut_short(field: str, length: int, left: int) -> MalformedMessage:
    """Make the error of a value that doesn't lie in the buffer."""
    if length < 0:
        return MalformedMessage(f"{field} is null, which it may not be")
    return MalformedMessage(f"{field} has {length} bytes, but {left} are left")


@lru_cache(maxsize=4096)
def uuid_of(data: bytes) -> UUID:
    """Return the UUID: the same few are asked for again and again."""
    return UUID(bytes=data)


_SMALL: Final = [bytes([value]) for value in range(0x80)]


# -- source ----------------------------------------------------------------------------------------


class _Source:
    """Lines of a function, and the objects that they name."""

    def __init__(self, message: type[Message], version: int, *, flexible: bool) -> None:
        self.message = message
        self.version = version
        self.flexible = flexible
        fields = [field for field in fields_of(message) if field.in_version(version)]
        self.plain = [field for field in fields if field.tag is None]
        self.tagged = sorted(
            (field for field in fields if field.tag is not None), key=lambda field: field.tag or 0
        )
        assert flexible or not self.tagged, f"{message.__name__} v{version} can't have tags"
        self.names: dict[str, Any] = {
            "Message": message,
            "check_count": check_count,
            "cut_short": cut_short,
            "read_uvarint": read_uvarint,
            "uuid_of": uuid_of,
            "uvarint": uvarint,
        }
        self.lines: list[str] = []
        self._numbers = iter(range(1_000_000))

    def add(self, depth: int, *lines: str) -> None:
        self.lines += ["    " * depth + line for line in lines]

    def name(self, prefix: str, value: Any) -> str:
        """Give an object a name that the source can use."""
        for known, other in self.names.items():
            if other is value:
                return known
        name = f"{prefix}{next(self._numbers)}"
        self.names[name] = value
        return name

    def packer(self, layout: str) -> str:
        name = "pack_" + layout.replace("?", "bool")
        self.names.setdefault(name, struct.Struct(">" + layout))
        return name

    def run(self, function: str) -> Any:
        source = "\n".join(self.lines)
        label = f"<{self.message.__name__} v{self.version} {function}>"
        exec(compile(source, label, "exec"), self.names)  # noqa: S102 - source made above, of no input
        return self.names[function]

    def runs(self) -> list[list[Field]]:
        """Divide the plain fields: neighbours of fixed size together, all others alone."""
        runs: list[list[Field]] = []
        for field in self.plain:
            fixed = _is_fixed(field)
            if fixed and runs and _is_fixed(runs[-1][-1]):
                runs[-1].append(field)
            else:
                runs.append([field])
        return runs


def _is_fixed(field: Field) -> bool:
    return not field.is_array and isinstance(field.kind, Kind) and field.kind not in _SIZED


def _local(field: Field) -> str:
    """Return the variable that holds a field's value, apart from those of the reader itself."""
    return f"its_{field.name}"


def _layout(fields: list[Field]) -> str:
    return "".join(field.kind.value for field in fields if isinstance(field.kind, Kind))


class _ReaderSource(_Source):
    def compiled(self) -> Reader:
        self.add(0, "def read(buffer, position, budget):", "    end = len(buffer)")
        for fields in self.runs():
            if _is_fixed(fields[0]):
                self._fixed(1, fields)
            else:
                self._field(1, fields[0])
        if self.flexible:
            self._tags()
        fields = self.plain + self.tagged
        arguments = ", ".join(f"{field.name}={_local(field)}" for field in fields)
        self.add(1, f"return Message({arguments}), position")
        return self.run("read")  # type: ignore[no-any-return]

    def _fixed(self, depth: int, fields: list[Field]) -> None:
        packer = self.packer(_layout(fields))
        targets = "".join(f"{_local(field)}, " for field in fields)
        self.add(
            depth,
            f"{targets}= {packer}.unpack_from(buffer, position)",
            f"position += {self.names[packer].size}",
        )
        for field in fields:
            if field.kind is Kind.UUID:
                self.add(depth, f"{_local(field)} = uuid_of({_local(field)})")

    def _field(self, depth: int, field: Field) -> None:
        if field.is_array:
            self._array(depth, field)
        else:
            nullable = field.nullable_in(self.version)
            self._value(depth, _local(field), field.kind, field.name, nullable=nullable)

    def _value(
        self, depth: int, target: str, kind: Kind | type[Message], field: str, *, nullable: bool
    ) -> None:
        if not isinstance(kind, Kind):
            self._message(depth, target, kind, nullable=nullable)
        elif kind in _SIZED:
            self._sized(depth, target, kind, field, nullable=nullable)
        else:
            packer = self.packer(kind.value)
            taken = f"{packer}.unpack_from(buffer, position)[0]"
            self.add(
                depth,
                f"{target} = uuid_of({taken})" if kind is Kind.UUID else f"{target} = {taken}",
            )
            self.add(depth, f"position += {self.names[packer].size}")

    def _message(self, depth: int, target: str, kind: type[Message], *, nullable: bool) -> None:
        read = self.name("read_part", reader(kind, self.version, flexible=self.flexible))
        if nullable:  # a byte says whether there is one: 1, or -1 for null
            self.add(
                depth, "position += 1", "if buffer[position - 1] > 127:", f"    {target} = None"
            )
            self.add(depth, "else:")
            depth += 1
        self.add(depth, f"{target}, position = {read}(buffer, position, budget)")

    def _length(self, depth: int, layout: str) -> None:
        if self.flexible:
            self.add(
                depth,
                "length = buffer[position]",
                "position += 1",
                "if length > 127:",
                "    length, position = read_uvarint(buffer, position - 1)",
                "length -= 1",
            )
        else:
            packer = self.packer(layout)
            self.add(
                depth,
                f"(length,) = {packer}.unpack_from(buffer, position)",
                f"position += {self.names[packer].size}",
            )

    def _sized(self, depth: int, target: str, kind: Kind, field: str, *, nullable: bool) -> None:
        self._length(depth, "h" if kind is Kind.STRING else "i")
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
            f"    raise cut_short({field!r}, length, end - position)",
            f"{target} = {taken}",
            "position = after",
        )

    def _array(self, depth: int, field: Field) -> None:
        name = _local(field)
        self._length(depth, "i")
        if field.nullable_in(self.version):
            self.add(depth, "if length == -1:", f"    {name} = None", "else:")
            depth += 1
        least = _least_bytes(field.kind, self.version, flexible=self.flexible)
        self.add(
            depth,
            "if length < 0:",
            f"    raise cut_short({field.name!r}, length, end - position)",
            f"check_count(length, {least}, end - position, budget)",
        )
        if field.kind in _INTEGERS:
            assert isinstance(field.kind, Kind)
            pack = self.name("struct", struct)
            self.add(
                depth,
                f"{name} = list({pack}.unpack_from(f'>{{length}}{field.kind.value}', buffer, position))",
                f"position += length * {least}",
            )
            return
        self.add(depth, f"{name} = []", "for _ in range(length):")
        self._value(depth + 1, "item", field.kind, field.name, nullable=False)
        self.add(depth + 1, f"{name}.append(item)")

    def _tags(self) -> None:
        for field in self.tagged:
            default = self.name("default", field.default)
            copied = f"list({default})" if isinstance(field.default, list) else default
            self.add(1, f"{_local(field)} = {copied}")
        self.add(
            1,
            "count = buffer[position]",
            "position += 1",
            "if count:",
            "    if count > 127:",
            "        count, position = read_uvarint(buffer, position - 1)",
            "    for _ in range(count):",
            "        tag, position = read_uvarint(buffer, position)",
            "        size, position = read_uvarint(buffer, position)",
            "        next_tag = position + size",
            "        if next_tag > end:",
            "            raise cut_short(f'tagged field {tag}', size, end - position)",
        )
        for field in self.tagged:
            self.add(3, f"if tag == {field.tag}:")
            self._field(4, field)
            self.add(4, "if position != next_tag:")
            self.add(5, f"raise cut_short({field.name!r}, size, position - next_tag + size)")
        self.add(3, "position = next_tag")


class _WriterSource(_Source):
    def compiled(self) -> Writer:
        self.add(0, "def write(message, chunks):", "    append = chunks.append")
        for fields in self.runs():
            if _is_fixed(fields[0]):
                values = ", ".join(_plain_value(field, f"message.{field.name}") for field in fields)
                self.add(1, f"append({self.packer(_layout(fields))}.pack({values}))")
            else:
                self._field(1, fields[0], f"message.{fields[0].name}")
        if self.flexible:
            self._tags()
        elif not self.plain:
            self.add(1, "pass")
        return self.run("write")  # type: ignore[no-any-return]

    def _field(self, depth: int, field: Field, source: str) -> None:
        if field.is_array:
            self._array(depth, field, source)
        else:
            self._value(depth, field, source, nullable=field.nullable_in(self.version))

    def _value(self, depth: int, field: Field, source: str, *, nullable: bool) -> None:
        kind = field.kind
        if not isinstance(kind, Kind):
            write = self.name("write_part", writer(kind, self.version, flexible=self.flexible))
            if nullable:
                self.add(depth, f"if {source} is None:", "    append(b'\\xff')", "else:")
                self.add(depth + 1, "append(b'\\x01')")
                depth += 1
            self.add(depth, f"{write}({source}, chunks)")
        elif kind in _SIZED:
            self._sized(depth, kind, source, nullable=nullable)
        else:
            self.add(
                depth, f"append({self.packer(kind.value)}.pack({_plain_value(field, source)}))"
            )

    def _length(self, length: str, layout: str) -> str:
        if self.flexible:
            return f"append(uvarint({length} + 1))"
        return f"append({self.packer(layout)}.pack({length}))"

    def _null(self, layout: str) -> str:
        null = b"\0" if self.flexible else struct.pack(">" + layout, -1)
        return f"append({null!r})"

    def _sized(self, depth: int, kind: Kind, source: str, *, nullable: bool) -> None:
        layout = "h" if kind is Kind.STRING else "i"
        encoded = f"{source}.encode()" if kind is Kind.STRING else source
        if nullable:
            self.add(depth, f"if {source} is None:", f"    {self._null(layout)}", "else:")
            depth += 1
        self.add(depth, f"data = {encoded}", self._length("len(data)", layout), "append(data)")

    def _array(self, depth: int, field: Field, source: str) -> None:
        if field.nullable_in(self.version):
            self.add(depth, f"if {source} is None:", f"    {self._null('i')}", "else:")
            depth += 1
        self.add(depth, self._length(f"len({source})", "i"))
        if field.kind in _INTEGERS:
            assert isinstance(field.kind, Kind)
            pack = self.name("struct", struct)
            self.add(
                depth,
                f"append({pack}.pack(f'>{{len({source})}}{field.kind.value}', *{source}))",
            )
            return
        self.add(depth, f"for item in {source}:")
        self._value(depth + 1, field, "item", nullable=False)

    def _tags(self) -> None:
        if not self.tagged:
            self.add(1, "append(b'\\0')")
            return
        self.add(1, "tags = []")
        for field in self.tagged:
            source = f"message.{field.name}"
            default = self.name("default", field.default)
            self.add(1, f"if {source} != {default}:", "    outer, chunks = chunks, []")
            self.add(2, "append = chunks.append")
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


def _least_bytes(kind: Kind | type[Message], version: int, *, flexible: bool) -> int:
    """Return how many bytes a value takes at least."""
    if isinstance(kind, Kind):
        if kind in _SIZED:
            return 1 if flexible else struct.calcsize("h" if kind is Kind.STRING else "i")
        return struct.calcsize(">" + kind.value)
    least = 1 if flexible else 0
    for field in fields_of(kind):
        if field.in_version(version) and field.tag is None:
            if field.is_array:
                least += 1 if flexible else 4
            elif not isinstance(field.kind, Kind) and field.nullable_in(version):
                least += 1
            else:
                least += _least_bytes(field.kind, version, flexible=flexible)
    return least
