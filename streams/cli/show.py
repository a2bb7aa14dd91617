"""Bytes, times and tables as text: plain enough for a pipe, coloured on a terminal.

A key or value is shown as what it looks like: JSON, else text, else hexadecimal. Control characters
are escaped, so that a record can't take over the terminal that shows it.
"""

import json
import os
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, TextIO

from ...log.model import Headers, Timestamp
from ..timestamps import from_ms

NULL: Final = "<null>"
_STYLES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_IN_LINES: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_INT64_SIGN: Final = 1 << 63
_SIZES: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")


def paint(text: str, style: str, stream: TextIO) -> str:
    """Return the text in a style, such as ``bold red``, if the stream shows colours."""
    return painter(stream)(text, style)


def painter(stream: TextIO) -> Callable[[str, str], str]:
    """Return a function that puts text into a style, or leaves it alone if the stream is plain."""
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return lambda text, _style: text  # https://no-color.org

    def painted(text: str, style: str) -> str:
        codes = ";".join(_STYLES[word] for word in style.split())
        return f"\x1b[{codes}m{text}\x1b[0m" if text else text

    return painted


def printable(text: str) -> str:
    """Return the text in one line, its control characters escaped."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def one_line(data: bytes | None) -> str:
    """Return a key or value in one line."""
    if data is None:
        return NULL
    try:
        return printable(data.decode()) or '""'
    except UnicodeDecodeError:
        return f"0x{data.hex()}"


def many_lines(data: bytes | None, indent: str) -> str:
    """Return a value over as many lines as make it readable."""
    value = _as_json(data)
    if not isinstance(value, dict | list):
        return indent + one_line(data)
    text = json.dumps(value, ensure_ascii=False, indent=2)
    text = _CONTROL_IN_LINES.sub(lambda found: repr(found[0])[1:-1], text)
    return "\n".join(indent + line for line in text.split("\n"))


def as_data(data: bytes | None) -> Any:
    """Return a key or value as what JSON can hold: itself, if it is JSON; text; or hexadecimal."""
    if data is None:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return f"0x{data.hex()}"
    value = _as_json(data)
    return text if value is None and text != "null" else value


def to_json(value: Any) -> str:
    """Return a value as JSON in one line."""
    return json.dumps(value, ensure_ascii=False, default=str)


def store_key(data: bytes) -> str:
    """Return a table's key, of which the type is not known, as text.

    An int is stored as eight bytes with the sign bit flipped. Those of all ints below 2**55 or so
    begin with a byte that begins no UTF-8 text, so the two can be told apart.
    """
    try:
        return printable(data.decode()) or '""'
    except UnicodeDecodeError:
        if len(data) == 8 and data[0] in (0x7F, 0x80):
            return str(int.from_bytes(data, "big") - _INT64_SIGN)
        return f"0x{data.hex()}"


def headers(items: Headers) -> str:
    """Return headers in one line; empty when there are none."""
    return " ".join(f"{printable(name)}={one_line(value)}" for name, value in items)


def time(timestamp: Timestamp) -> str:
    """Return a record's time in UTC, to the millisecond, in ISO 8601."""
    try:
        return _iso(from_ms(timestamp))
    except OverflowError:
        return f"{timestamp} ms"


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def size(count: int) -> str:
    """Return a number of bytes in a unit that suits it."""
    value, unit = float(count), 0
    while value >= 1024 and unit + 1 < len(_SIZES):
        value, unit = value / 1024, unit + 1
    return f"{value:,.0f} {_SIZES[unit]}" if unit == 0 else f"{value:,.1f} {_SIZES[unit]}"


def columns(
    titles: Sequence[str], rows: Sequence[Sequence[object]], stream: TextIO, *, right: str = ""
) -> str:
    """Return a table: columns that are as wide as they need to be, never cut.

    Args:
        titles: above the columns.
        rows: numbers are grouped by thousands and aligned to the right.
        stream: where it will be printed.
        right: titles of further columns, separated by spaces, that are aligned to the right.
    """
    texts = [[_cell(cell) for cell in row] for row in rows]
    widths = [
        max(len(line[column]) for line in [list(titles), *texts]) for column in range(len(titles))
    ]
    to_right = [
        title in right.split() or (bool(rows) and all(isinstance(row[i], int) for row in rows))
        for i, title in enumerate(titles)
    ]

    def line(cells: Sequence[str]) -> str:
        aligned = [
            cell.rjust(width) if at_right else cell.ljust(width)
            for cell, width, at_right in zip(cells, widths, to_right, strict=True)
        ]
        return "  ".join(aligned).rstrip()

    return "\n".join([paint(line(titles), "bold", stream), *map(line, texts)])


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _as_json(data: bytes | None) -> Any:
    """Return what JSON the bytes are, or None. Not through orjson: it cuts long integers short."""
    try:
        return None if data is None else json.loads(data.decode())
    except (ValueError, RecursionError):
        return None
