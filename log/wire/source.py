"""What readers and writers have in common when their source is made: lines, names, runs of fields."""

import struct
from typing import Any

from . import primitives
from .schema import Field, Kind, Message, fields_of

SIZED = frozenset({Kind.STRING, Kind.BYTES, Kind.RECORDS})
INTEGERS = frozenset(
    {Kind.INT8, Kind.INT16, Kind.UINT16, Kind.INT32, Kind.UINT32, Kind.INT64},
)


class Source:
    """The lines of a function for one version of a message, and the objects that they name."""

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
        self.names: dict[str, Any] = {**vars(primitives), "Message": message}
        self.lines: list[str] = []

    def add(self, depth: int, *lines: str) -> None:
        """Append lines, so deep."""
        self.lines += ["    " * depth + line for line in lines]

    def name(self, prefix: str, value: Any) -> str:
        """Give an object a name that the source can use."""
        name = f"{prefix}_{len(self.names)}"
        self.names[name] = value
        return name

    def unpack(self, layout: str) -> str:
        """Return a name of the function that takes values of a layout from a buffer."""
        return self._named(f"unpack_{layout}", struct.Struct(">" + layout).unpack_from)

    def pack(self, layout: str) -> str:
        """Return a name of the function that makes bytes of values."""
        return self._named(f"pack_{layout}", struct.Struct(">" + layout).pack)

    def _named(self, name: str, value: Any) -> str:
        name = name.replace("?", "bool")
        self.names.setdefault(name, value)
        return name

    def run(self, function: str) -> Any:
        """Compile the lines, and return the function that they define."""
        source = "\n".join(self.lines)
        label = f"<{self.message.__name__} v{self.version} {function}>"
        exec(compile(source, label, "exec"), self.names)  # noqa: S102 - source made above, of no input
        return self.names[function]

    def runs(self) -> list[list[Field]]:
        """Divide the plain fields: neighbours of fixed size together, all others alone."""
        runs: list[list[Field]] = []
        for field in self.plain:
            if is_fixed(field) and runs and is_fixed(runs[-1][-1]):
                runs[-1].append(field)
            else:
                runs.append([field])
        return runs


def is_fixed(field: Field) -> bool:
    """Say whether all values of the field have the same size."""
    return not field.is_array and isinstance(field.kind, Kind) and field.kind not in SIZED


def layout_of(fields: list[Field]) -> str:
    """Return the layout of a run of fixed fields, as `struct` writes it."""
    return "".join(field.kind.value for field in fields if isinstance(field.kind, Kind))


def size_of(layout: str) -> int:
    """Return how many bytes a layout takes."""
    return struct.calcsize(">" + layout)


def length_layout(kind: Kind | type[Message]) -> str:
    """Return how an inflexible version writes a length."""
    return "h" if kind is Kind.STRING else "i"


def least_bytes(kind: Kind | type[Message], version: int, *, flexible: bool) -> int:
    """Return how many bytes a value takes at least."""
    if isinstance(kind, Kind):
        if kind in SIZED:
            return 1 if flexible else size_of(length_layout(kind))
        return size_of(kind.value)
    least = 1 if flexible else 0
    for field in fields_of(kind):
        if field.in_version(version) and field.tag is None:
            if field.is_array:
                least += 1 if flexible else 4
            elif not isinstance(field.kind, Kind) and field.nullable_in(version):
                least += 1
            else:
                least += least_bytes(field.kind, version, flexible=flexible)
    return least
