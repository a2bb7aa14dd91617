"""What can be typed: help, options, and the shortcut that a worker takes past typer."""

import os
from pathlib import Path

import pytest
from millpond.streams.cli import plain_worker, run
from millpond.streams.cli.arguments import moment
from millpond.streams.errors import ConfigError

Captured = pytest.CaptureFixture[str]

COMMANDS = ("worker", "graph", "topics", "tail", "send", "groups", "table")


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("MILLPOND_DATA", raising=False)


def test_help_names_all_commands_examples_and_exit_codes(capsys: Captured) -> None:
    assert run(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f" {command} " in told for command in COMMANDS)
    assert "millpond tail orders --follow" in told
    assert "130, 143" in told


@pytest.mark.parametrize("command", [[name] for name in COMMANDS] + [["table", "get"]])
def test_every_command_has_help(command: list[str], capsys: Captured) -> None:
    assert run([*command, "-h"]) == 0
    told = capsys.readouterr()
    assert f"Usage: millpond {' '.join(command)}" in told.out
    assert told.err == ""


def test_version(capsys: Captured) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("millpond 0.")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["topcis"], "topics"),
        (["tail"], "TOPIC"),
        (["tail", "orders", "-n", "many"], "-n"),
        (["tail", "orders", "--format", "xml"], "json"),
        (["table", "list", "totals", "--limit", "0"], "--limit"),
        (["worker"], "MODULE:APP"),
        (["worker", "shop:app", "--nonsense"], "--nonsense"),
    ],
)
def test_a_wrong_command_line_is_refused_on_stderr(
    arguments: list[str], told: str, capsys: Captured
) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert told in err
    assert out == ""


@pytest.mark.parametrize(
    ("arguments", "understood"),
    [
        (["worker", "shop:app"], ("shop:app", {})),
        (["worker", "shop:app", "--data", "d"], ("shop:app", {"data": "d"})),
        (["worker", "--data", "d", "shop:app"], ("shop:app", {"data": "d"})),
        (
            ["worker", "--log", "kafka://b:9", "shop:app", "--instance", "a", "--data", "d"],
            ("shop:app", {"log": "kafka://b:9", "instance": "a", "data": "d"}),
        ),
        (["worker", "shop:app", "-n", "2"], None),
        (["worker", "shop:app", "--data", "d", "--data", "e"], None),
        (["worker", "shop:app", "--data"], None),
        (["worker", "shop:app", "store:app"], None),
        (["worker", "--help"], None),
        (["worker", "shop:app", "--data=d"], None),
        (["worker", "shop:app", "--data", "--help"], None),
        (["worker", "--data", "d", "-h"], None),
        (["worker"], None),
        (["tail", "orders"], None),
        ([], None),
    ],
)
def test_only_a_plain_worker_goes_past_typer(
    arguments: list[str], understood: tuple[str, dict[str, str]] | None
) -> None:
    assert plain_worker(arguments) == understood


@pytest.mark.parametrize("data", [["--data", "{}"], ["--data={}"], []])
def test_both_ways_to_a_worker_fail_alike(
    data: list[str], tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(os.sys.path))
    assert run(["worker", "cli_nowhere:app", *(text.format(tmp_path) for text in data)]) == 2
    assert "error: no module named 'cli_nowhere' was found" in capsys.readouterr().err


def test_moments_are_dates_times_or_how_long_ago() -> None:
    assert moment("2025-01-01", "--since") == 1_735_689_600_000
    assert moment("2025-01-01T00:00:01Z", "--since") == 1_735_689_601_000
    assert moment("2025-01-01T01:00+01:00", "--since") == 1_735_689_600_000
    assert moment("1735689600000", "--since") == 1_735_689_600_000
    assert moment("20250101", "--since") == 1_735_689_600_000
    assert 7_199_000 <= moment("0s", "--since") - moment("2h", "--since") <= 7_201_000
    assert moment("999999999d", "--since") == 0


@pytest.mark.parametrize("text", ["yesterday", "5 minutes", "-1h", "1735689600", "2025-13-01", ""])
def test_other_moments_are_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--since .* is no time: .*15m"):
        moment(text, "--since")
