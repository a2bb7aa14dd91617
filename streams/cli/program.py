"""What can be typed: commands, arguments, options and help. The work is done in other files."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from . import DEFAULT_ADDRESS, INSTANCE_VARIABLE, look
from .arguments import AppLog, Data, DataIfAny, Target, finish, moment, unwrapped
from .failures import perform, reported
from .log_commands import add_log_commands
from .place import LOG_VARIABLE, place_of_app

HELP: Final = """
Stream processing that carries its own log: run an app, serve its log over the Kafka protocol, and look
at what its data directory, or a cluster, holds.

Commands that look work beside a running worker or broker.
"""

EPILOG: Final = """\b
Examples:
  millpond worker shop:app            run the app that is called app in shop.py
  millpond worker shop:app -n 4       run it in four processes
  millpond broker --data ./data       serve the log to Kafka clients at 127.0.0.1:9092
  millpond tail orders --follow       see records as they come
  millpond table get totals ann       see a value in a table
  millpond groups --log kafka://localhost:9092        what a broker knows, of any make
\b
Exit codes:
  0         done; a worker or broker was stopped in order
  1         something failed, or what was asked for is not there
  2         the command or the app has to be corrected first
  130, 143  stopped at once, by a second SIGINT or SIGTERM
"""

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
        ("reset", reset),
    ):
        program.command(name, help=unwrapped(command.__doc__))(command)
    add_log_commands(program)
    table = typer.Typer(
        help="Look at what a table holds, as of what is committed.", no_args_is_help=True
    )
    table.command("get", help=unwrapped(table_get.__doc__))(table_get)
    table.command("list", help=unwrapped(table_list.__doc__))(table_list)
    program.add_typer(table, name="table")
    return program


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


def worker(
    target: Target,
    data: DataIfAny = None,
    log: AppLog = None,
    workers: Annotated[
        int, typer.Option("--workers", "-n", metavar="N", min=1, help="How many processes.")
    ] = 1,
    instance: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="On a cluster: this worker's for good, so that its tasks wait while it is restarted. "
            f"[env var: {INSTANCE_VARIABLE}]",
        ),
    ] = None,
) -> None:
    """Run an app until it is stopped or fails.

    The first SIGINT (Ctrl-C) or SIGTERM lets it finish its current events and commit; a second one
    stops it at once, which is safe as well: what was not committed will be read again.

    With -n, several processes share the work. Those that fail are started again. Without a cluster, a
    broker is started for them, on the app's own directory.
    """
    from .worker import Choice, run_worker

    choice = Choice(data, log, instance)
    if workers == 1:
        finish(run_worker(target, choice))
    from .workers import run_workers

    finish(run_workers(target, choice, workers))


def broker(
    data: Data = look.DATA,
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

    finish(
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
        f"{unwrapped(broker.__doc__)}\n\n"
        f"\b\nSettings, with Kafka's names, and their defaults:\n{lines}"
    )


def graph(
    target: Target,
    form: Annotated[
        Literal["text", "mermaid"], typer.Option("--format", help="How to print.")
    ] = "text",
    data: DataIfAny = None,
    log: AppLog = None,
) -> None:
    """Show what an app's agents read, keep and write. Opens nothing, unless it is told of a log.

    With --log or --data, also what the app would make of that: how many tasks, and which topics. Nothing
    is changed.
    """
    from ..app import App
    from ..graph import render
    from ..loader import load_app

    app = load_app(target, App)
    topology = app.topology()
    if form == "mermaid":
        from .mermaid import render_mermaid

        print(render_mermaid(topology))
        return
    print(render(topology))
    if data or log or os.environ.get(LOG_VARIABLE):
        from .plan import show_plan

        place = place_of_app(app, data, log, os.environ)
        finish(perform(show_plan, place, topology, app.settings))


def reset(
    target: Target,
    data: DataIfAny = None,
    log: AppLog = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be removed.")
    ] = False,
    sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Let an app begin anew: remove its progress, its tables and its internal topics, after asking.

    The topics that it reads and writes stay as they are, so what it wrote will be written once more. Only
    while no worker runs.
    """
    from ..app import App
    from ..loader import load_app
    from .reset import reset_app

    app = load_app(target, App)
    place = place_of_app(app, data, log, os.environ)
    finish(perform(reset_app, place, app.topology(), dry_run, sure))


# -- commands about tables -----------------------------------------------------------------------


def table_get(
    table: TableName,
    key: Annotated[str, typer.Argument(metavar="KEY", help="As `table list` shows it.")],
    window: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only the window that starts then.")
    ] = None,
    app: AppOption = None,
    app_name: AppName = None,
    data: DataIfAny = None,
) -> None:
    """Print a key's value; in a windowed table, in each window that is open."""
    from .table import show_value

    start = None if window is None else moment(window, "--window")
    chosen, directory = _table_of(app, app_name, data)
    finish(perform(show_value, directory, chosen, table, key, start))


def table_list(
    table: TableName,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    app: AppOption = None,
    app_name: AppName = None,
    data: DataIfAny = None,
) -> None:
    """List what a table holds, in the order of windows and keys."""
    from .table import show_table

    chosen, directory = _table_of(app, app_name, data)
    finish(perform(show_table, directory, chosen, table, limit))


# -- arguments ---------------------------------------------------------------------------------


def _table_of(target: str | None, app_name: str | None, data: Path | None) -> tuple[Any, Path]:
    """Return the app, or its name, or None; and the data directory."""
    if target is None:
        return app_name, data or look.DATA
    from ..app import App
    from ..loader import load_app

    app = load_app(target, App)
    return app, data or app.data
