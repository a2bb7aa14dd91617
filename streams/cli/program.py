"""What can be typed: commands, arguments, options and help. The work is done in other files."""

import inspect
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from ...log.errors import ConfigError
from ...log.model import Timestamp
from . import DATA_VARIABLE, DEFAULT_ADDRESS
from .failures import EXIT_INTERRUPTED, perform, reported

HELP: Final = """
Stream processing that carries its own log: run an app, serve its log over the Kafka protocol, and look
at what its data directory holds.

Commands that look work beside a running worker or broker.
"""

EPILOG: Final = """\b
Examples:
  millpond worker shop:app            run the app that is called app in shop.py
  millpond broker --data ./data       serve the log to Kafka clients at 127.0.0.1:9092
  millpond tail orders --follow       see records as they come
  millpond table get totals ann       see a value in a table
\b
Exit codes:
  0         done; a worker or broker was stopped in order
  1         something failed, or what was asked for is not there
  2         the command or the app has to be corrected first
  130, 143  stopped at once, by a second SIGINT or SIGTERM
"""

DATA: Final = Path("data")
"""Where commands look that know no app; what `App(data=…)` is by default."""

_DATA_OPTION: Final[Any] = typer.Option(
    "--data", metavar="DIR", envvar=DATA_VARIABLE, help="The data directory of the app."
)

Data = Annotated[Path, _DATA_OPTION]
DataOfApp = Annotated[Path | None, _DATA_OPTION]
Target = Annotated[str, typer.Argument(metavar="MODULE:APP", help="Such as shop:app.")]
TopicName = Annotated[str, typer.Argument(metavar="TOPIC")]
TableName = Annotated[str, typer.Argument(metavar="TABLE")]
AppOption = Annotated[
    str | None,
    typer.Option(
        "--app",
        metavar="MODULE:APP",
        help="The app, for tables with keys that are neither text nor whole numbers.",
    ),
]
AppName = Annotated[
    str | None,
    typer.Option("--app-name", metavar="NAME", help="Whose table, if several apps have one."),
]


def run_program(arguments: Sequence[str]) -> int:
    """Do what a command line says, and return the exit code."""
    with reported() as outcome:
        try:
            _program()(args=list(arguments), prog_name="millpond")
        except SystemExit as done:
            outcome.code = done.code if isinstance(done.code, int) else 1
    return outcome.code


def _program() -> typer.Typer:
    program = typer.Typer(
        help=HELP,
        epilog=EPILOG,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    program.callback()(_options)
    program.command("broker", help=_broker_help())(broker)
    for name, command in (
        ("worker", worker),
        ("graph", graph),
        ("topics", topics),
        ("tail", tail),
        ("send", send),
        ("groups", groups),
    ):
        program.command(name, help=_unwrapped(command.__doc__))(command)
    table = typer.Typer(
        help="Look at what a table holds, as of what is committed.", no_args_is_help=True
    )
    table.command("get", help=_unwrapped(table_get.__doc__))(table_get)
    table.command("list", help=_unwrapped(table_list.__doc__))(table_list)
    program.add_typer(table, name="table")
    return program


def _unwrapped(text: str | None) -> str:
    """Return a docstring with each paragraph in one line, to be wrapped as the terminal needs it."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(
        paragraph if paragraph.startswith("\b") else paragraph.replace("\n", " ")
        for paragraph in paragraphs
    )


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"millpond {version('millpond')}")
        raise typer.Exit


def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


# -- commands about an app ---------------------------------------------------------------------


def worker(target: Target, data: DataOfApp = None) -> None:
    """Run an app until it is stopped or fails.

    The first SIGINT (Ctrl-C) or SIGTERM lets it finish its current events and commit; a second one
    stops it at once, which is safe as well: what was not committed will be read again.
    """
    from .worker import run_worker

    _finish(run_worker(target, data))


def broker(
    data: Data = DATA,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="HOST:PORT, [IPV6]:PORT, :PORT or unix:/path; repeatable.",
            show_default=DEFAULT_ADDRESS,
        ),
    ] = None,
    advertise: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT",
            help="What clients are told to connect to: the first goes with the first --listen, and so "
            "on. By default, where they connected to.",
        ),
    ] = None,
    node_id: Annotated[
        int | None, typer.Option(metavar="ID", help="The broker's; 1 by default.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting, see below; repeatable."),
    ] = None,
    durability: Annotated[
        Literal["fsync", "interval", "os"],
        typer.Option(help="When an acknowledged record is on disk: before; 0.1 s later; sometime."),
    ] = "fsync",
    tls_cert: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A certificate chain: all listeners speak TLS."),
    ] = None,
    tls_key: Annotated[
        str | None, typer.Option(metavar="FILE", help="Its key, if that is in another file.")
    ] = None,
) -> None:
    """Serve the log of a data directory to Kafka clients.

    The first SIGINT (Ctrl-C) or SIGTERM lets it answer what is in flight and close the log; a second
    one stops it at once, which loses nothing that was acknowledged.
    """
    from .broker import Chosen, run_broker

    _finish(
        run_broker(
            Chosen(
                data=data,
                listen=listen or (DEFAULT_ADDRESS,),
                advertise=advertise or (),
                node_id=node_id,
                set=settings or (),
                durability=durability,
                tls_cert=tls_cert,
                tls_key=tls_key,
            )
        )
    )


def _broker_help() -> str:
    """Return the help of `broker`, which ends with all settings and their defaults."""
    from ...log.broker.settings import BrokerSettings

    settings = BrokerSettings().to_mapping().items()
    lines = "\n".join(f"  {name}={value}" for name, value in settings)
    return (
        f"{_unwrapped(broker.__doc__)}\n\n"
        f"\b\nSettings, with Kafka's names, and their defaults:\n{lines}"
    )


def graph(
    target: Target,
    form: Annotated[
        Literal["text", "mermaid"], typer.Option("--format", help="How to print.")
    ] = "text",
) -> None:
    """Show what an app's agents read, keep and write. Opens nothing."""
    from ..app import App
    from ..graph import render
    from ..loader import load_app
    from .mermaid import render_mermaid

    topology = load_app(target, App).topology()
    print(render(topology) if form == "text" else render_mermaid(topology))


# -- commands about a data directory -----------------------------------------------------------


def topics(
    names: Annotated[list[str] | None, typer.Argument(metavar="TOPIC...")] = None,
    data: Data = DATA,
) -> None:
    """List all topics; or describe some, partition by partition.

    Transactions and compaction leave gaps in the offsets, so there may be fewer records than
    offsets.
    """
    from .topics import show_topics

    names = names or []
    _finish(perform(show_topics, data, names[1:] if names[:1] == ["describe"] else names))


def tail(
    topic: TopicName,
    count: Annotated[
        int | None,
        typer.Option("-n", min=0, metavar="COUNT", help="How many; 10 if no beginning is given."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    partition: Annotated[
        list[int] | None, typer.Option("--partition", "-p", help="Only of this one; repeatable.")
    ] = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="From the first record that is left.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="With timestamps from 90s, 15m, 2h or 7d ago, or ISO 8601."
        ),
    ] = None,
    form: Annotated[
        Literal["text", "json"],
        typer.Option("--format", help="How to print; json is one object per line."),
    ] = "text",
    data: Data = DATA,
) -> None:
    """Print a topic's last records, in the order of their time."""
    from .tail import Wanted, show_records

    wanted = Wanted(
        topic,
        partition or (),
        count,
        from_beginning,
        None if since is None else moment(since, "--since"),
        follow,
        form,
    )
    code = perform(show_records, data, wanted)
    _finish(0 if code == EXIT_INTERRUPTED else code)


def send(
    topic: TopicName,
    value: Annotated[
        str | None, typer.Argument(help="Without it, each line of stdin is a record.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", "-k", help="Of all records.")] = None,
    partition: Annotated[
        int | None, typer.Option("--partition", "-p", help="Instead of the one the key belongs to.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", metavar="NAME=VALUE", help="Repeatable.")
    ] = None,
    data: Data = DATA,
) -> None:
    """Put records into a topic, while no worker runs.

    \b
    Examples:
      millpond send orders '{"id": 1}' --key ann
      millpond send orders < orders.jsonl
    """  # noqa: D301 - click's mark for lines that are to be kept as they are
    from .send import Outgoing, send_records

    outgoing = Outgoing(
        topic,
        None if value is None else os.fsencode(value),
        None if key is None else os.fsencode(key),
        partition,
        [_header(text) for text in header or ()],
    )
    _finish(perform(send_records, data, outgoing))


def groups(
    group: Annotated[str | None, typer.Argument(metavar="GROUP")] = None, data: Data = DATA
) -> None:
    """List consumer groups with their lag; or show one, partition by partition."""
    from .groups import show_groups

    _finish(perform(show_groups, data, group))


def table_get(
    table: TableName,
    key: Annotated[str, typer.Argument(metavar="KEY", help="As `table list` shows it.")],
    window: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only the window that starts then.")
    ] = None,
    app: AppOption = None,
    app_name: AppName = None,
    data: DataOfApp = None,
) -> None:
    """Print a key's value; in a windowed table, in each window that is open."""
    from .table import show_value

    start = None if window is None else moment(window, "--window")
    chosen, directory = _table_of(app, app_name, data)
    _finish(perform(show_value, directory, chosen, table, key, start))


def table_list(
    table: TableName,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    app: AppOption = None,
    app_name: AppName = None,
    data: DataOfApp = None,
) -> None:
    """List what a table holds, in the order of windows and keys."""
    from .table import show_table

    chosen, directory = _table_of(app, app_name, data)
    _finish(perform(show_table, directory, chosen, table, limit))


# -- arguments ---------------------------------------------------------------------------------


def _table_of(target: str | None, app_name: str | None, data: Path | None) -> tuple[Any, Path]:
    """Return the app, or its name, or None; and the data directory."""
    if target is None:
        return app_name, data or DATA
    from ..app import App
    from ..loader import load_app

    app = load_app(target, App)
    return app, data or app.data


def _finish(code: int) -> None:
    raise typer.Exit(code)


_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


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


def _header(text: str) -> tuple[str, bytes | None]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"--header {text!r} is not of the form name=value")
    return name, os.fsencode(value)
