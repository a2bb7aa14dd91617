"""`millpond send` puts records where the app's own producer would, durably, or says why not."""

import json
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from millpond.log.embedded import EmbeddedLog
from millpond.log.model import TopicSpec
from millpond.log.shell.lock import DirectoryLock
from millpond.streams.cli import run
from millpond.streams.engine.partitioner import Partitioner

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    async def make() -> None:
        async with EmbeddedLog.open(tmp_path / "log", durability="os") as log:
            await log.create_topics([TopicSpec("orders", 4), TopicSpec("shop-n-changelog", 1)])

    anyio.run(make)
    monkeypatch.setenv("MILLPOND_DATA", str(tmp_path))
    return tmp_path


def records(capsys: Captured, *options: str) -> list[dict[str, object]]:
    capsys.readouterr()
    assert run(["tail", "orders", "--from-beginning", "--format", "json", *options]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def send_lines(text: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "millpond.streams.cli", "send", "orders", *options],
        input=text,
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_a_record_goes_to_the_partition_of_its_key(data: Path, capsys: Captured) -> None:
    options = ["--key", "ann", "--header", "trace=a=b", "--header", "empty="]
    assert run(["send", "orders", '{"id": 1}', *options]) == 0
    number = Partitioner(4).partition(b"ann")
    assert capsys.readouterr().out == f"sent 1 record to orders-{number}, offset 0\n"
    (record,) = records(capsys)
    assert record["partition"] == number
    assert record["key"] == "ann"
    assert record["value"] == {"id": 1}
    assert record["headers"] == {"trace": "a=b", "empty": ""}


def test_a_partition_can_be_chosen(data: Path, capsys: Captured) -> None:
    assert run(["send", "orders", "x", "--partition", "3"]) == 0
    assert [record["partition"] for record in records(capsys)] == [3]
    assert run(["send", "orders", "x", "--partition", "4"]) == 2
    assert "has partitions 0 to 3" in capsys.readouterr().err


def test_each_line_of_stdin_is_a_record_but_blank_ones(data: Path, capsys: Captured) -> None:
    done = send_lines("one\r\n\n  \nzwö\nlast".encode(), "-k", "k")
    assert (done.returncode, done.stdout) == (0, b"sent 3 records to orders\n")
    assert [record["value"] for record in records(capsys)] == ["one", "zwö", "last"]


def test_a_large_file_arrives_whole_and_in_order(data: Path, capsys: Captured) -> None:
    lines = [b"no. %d %s" % (number, b"x" * (number % 300)) for number in range(5000)]
    (data / "lines").write_bytes(b"\n".join(lines))
    with (data / "lines").open() as file:
        done = subprocess.run(
            [sys.executable, "-m", "millpond.streams.cli", "send", "orders", "-p", "0"],
            stdin=file,
            capture_output=True,
            check=False,
            timeout=60,
        )
    assert done.stdout == b"sent 5,000 records to orders\n", done.stderr
    assert [record["value"] for record in records(capsys)] == [line.decode() for line in lines]


def test_nothing_on_stdin_is_nothing_sent(data: Path, capsys: Captured) -> None:
    assert send_lines(b"").stdout == b"sent 0 records to orders\n"
    assert records(capsys) == []


def test_bytes_that_are_no_text_are_sent_as_they_are(data: Path, capsys: Captured) -> None:
    assert send_lines(b"\xff\x00\n", "-p", "0").returncode == 0
    assert [record["value"] for record in records(capsys)] == ["0xff00"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["odrers", "x"], "did you mean orders"),
        (["shop-n-changelog", "x"], "not for sending"),
        (["__consumer_offsets", "x"], "not for sending"),
        (["orders", "x", "--header", "nothing"], "not of the form name=value"),
    ],
)
def test_what_must_not_be_sent_is_refused(
    arguments: list[str], told: str, data: Path, capsys: Captured
) -> None:
    assert run(["send", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_record_that_is_too_large_is_refused(data: Path, capsys: Captured) -> None:
    done = send_lines(b"fits\n" + b"x" * 2_000_000, "-p", "0")
    assert done.returncode == 1
    assert b"error: " in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_directory_in_use_tells_by_whom_and_what_to_do(data: Path, capsys: Captured) -> None:
    lock = DirectoryLock(data / "log")
    try:
        assert run(["send", "orders", "x"]) == 1
    finally:
        lock.release()
    err = capsys.readouterr().err
    assert "error: nothing was sent" in err
    assert "pid " in err
    assert "topic.send" in err
    assert records(capsys) == []


def test_a_directory_without_a_log_is_left_alone(tmp_path: Path, capsys: Captured) -> None:
    missing = tmp_path / "nowhere"
    assert run(["send", "orders", "x", "--data", str(missing)]) == 2
    assert not missing.exists()
