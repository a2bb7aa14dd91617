"""What several commands take: options, and how what was typed is read."""

import inspect
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ...log.errors import ConfigError
from ...log.model import Timestamp
from . import DATA_VARIABLE
from .place import LOG_VARIABLE, Place, choose_place

_DATA_OPTION: Final[Any] = typer.Option(
    "--data", metavar="DIR", envvar=DATA_VARIABLE, help="The data directory of the app."
)

Data = Annotated[Path, _DATA_OPTION]
DataIfAny = Annotated[Path | None, _DATA_OPTION]
LogOption = Annotated[
    str | None,
    typer.Option(
        "--log",
        metavar="URL",
        help=f"Instead of a directory, a broker: kafka://HOST:PORT. [env var: {LOG_VARIABLE}]",
    ),
]
Target = Annotated[str, typer.Argument(metavar="MODULE:APP", help="Such as shop:app.")]
AppLog = Annotated[
    str | None,
    typer.Option(
        "--log",
        metavar="URL",
        help=f"The cluster that the app runs on: kafka://HOST:PORT. [env var: {LOG_VARIABLE}]",
    ),
]
TopicName = Annotated[str, typer.Argument(metavar="TOPIC")]

_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def place_of(data: Path | None, url: str | None) -> Place:
    """Return where the log is."""
    return choose_place(data, url, os.environ, DATA_VARIABLE)


def finish(code: int) -> None:
    """End the command with an exit code."""
    raise typer.Exit(code)


def unwrapped(text: str | None) -> str:
    """Return a docstring with each paragraph in one line, to be wrapped as the terminal needs it."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(
        paragraph if paragraph.startswith("\b") else paragraph.replace("\n", " ")
        for paragraph in paragraphs
    )


def moment(text: str, option: str) -> Timestamp:
    """Return a time that was typed: how long ago, in ISO 8601, or milliseconds since 1970."""
    from ..timestamps import to_ms

    if ago := re.fullmatch(r"(\d+)([smhd])", text):
        now = to_ms(datetime.now(UTC))
        return max(now - int(ago[1]) * _UNITS_MS[ago[2]], 0)
    try:
        if re.fullmatch(r"\d{13}", text):  # from 2001 on; fewer digits might be seconds
            return to_ms(int(text))
        moment = datetime.fromisoformat(text)
        return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except ValueError:
        raise ConfigError(
            f"{option} {text!r} is no time: write how long ago, as in 15m or 2h; or a moment, as in "
            "2013-07-01 or 2013-07-01T12:00Z (UTC, if no zone is given)"
        ) from None


def parse_header(text: str) -> tuple[str, bytes | None]:
    """Return a record's header that was typed as name=value."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"--header {text!r} is not of the form name=value")
    return name, os.fsencode(value)
