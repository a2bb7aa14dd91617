"""How the command line shows bytes, times and tables."""

import io
import json

import pytest
from millpond.streams.cli import show
from millpond.streams.types.store_keys import store_key_codec_for


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (None, "<null>"),
        (b"", '""'),
        (b"plain text", "plain text"),
        ("Zürich".encode(), "Zürich"),
        (b'{"a":1.10}', '{"a":1.10}'),
        (b"\xff\x00", "0xff00"),
        (b"two\nlines\ttab", r"two\nlines\ttab"),
        (b"\x1b[2Jgone", r"\x1b[2Jgone"),
        ("\x9b2J".encode(), r"\x9b2J"),
    ],
)
def test_a_value_in_one_line(data: bytes | None, shown: str) -> None:
    assert show.one_line(data) == shown


def test_json_over_several_lines_keeps_long_integers_and_no_control_characters() -> None:
    data = b'{"id":12345678901234567890123,"text":"\xc2\x9b2J","list":[1]}'
    text = show.many_lines(data, "  ")
    assert all(line.startswith("  ") for line in text.splitlines())
    assert "12345678901234567890123" in text
    assert "\x9b" not in text
    assert show.many_lines(b"plain", "  ") == "  plain"
    assert show.many_lines(b"17", "  ") == "  17"


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (None, None),
        (b"null", None),
        (b'{"a": [1, 2.5, "x"]}', {"a": [1, 2.5, "x"]}),
        (b"12345678901234567890123", 12345678901234567890123),
        (b"text", "text"),
        (b"\xff", "0xff"),
        (b"[" * 100_000, "[" * 100_000),
    ],
)
def test_a_value_as_data(data: bytes | None, value: object) -> None:
    assert show.as_data(data) == value
    assert json.loads(show.to_json(show.as_data(data))) == value


@pytest.mark.parametrize("number", [0, 1, -1, 42, -42, 2**40, -(2**40)])
def test_a_stored_int_is_recognised_without_its_type(number: int) -> None:
    assert show.store_key(store_key_codec_for(int, what="key").encode(number)) == str(number)


@pytest.mark.parametrize("text", ["UA", "12345678", "acht-lang", "Zürich12", ""])
def test_a_stored_text_is_never_taken_for_an_int(text: str) -> None:
    assert show.store_key(store_key_codec_for(str, what="key").encode(text)) == (text or '""')


def test_times_are_utc_and_exact() -> None:
    assert show.time(1_735_689_600_001) == "2025-01-01T00:00:00.001Z"
    assert show.time(-1) == "1969-12-31T23:59:59.999Z"
    assert show.time(2**62) == f"{2**62} ms"


def test_sizes() -> None:
    assert [show.size(n) for n in (0, 1023, 1024, 1536, 5 << 30)] == [
        "0 bytes",
        "1,023 bytes",
        "1.0 KiB",
        "1.5 KiB",
        "5.0 GiB",
    ]


def test_columns_are_aligned_and_never_cut() -> None:
    rows = [("short", 5, "1 KiB"), ("x" * 200, 12345, "900 bytes")]
    told = show.columns(("name", "count", "size"), rows, io.StringIO(), right="size").splitlines()
    assert [line.split() for line in told] == [
        ["name", "count", "size"],
        ["short", "5", "1", "KiB"],
        ["x" * 200, "12,345", "900", "bytes"],
    ]
    assert len(set(map(len, told))) == 1


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert show.paint("x", "bold red", Terminal()) == "\x1b[1;31mx\x1b[0m"
    assert show.paint("x", "bold red", io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert show.paint("x", "bold red", Terminal()) == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert show.paint("x", "bold red", Terminal()) == "x"
