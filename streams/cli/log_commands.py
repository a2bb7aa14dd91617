"""What can be typed about a log: `topics`, `groups`, `tail` and `send`. The work is done in other files.

`topics` and `groups` have subcommands; a name where one of them should be is described.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final, Literal

import typer
from typer.core import TyperGroup

from .arguments import (
    DataIfAny,
    LogOption,
    TopicName,
    finish,
    moment,
    parse_header,
    place_of,
    unwrapped,
)
from .failures import EXIT_INTERRUPTED, perform

OPTIONS_WITH_VALUE: Final = frozenset({"--data", "--log"})

TopicNames = Annotated[list[str], typer.Argument(metavar="TOPIC...")]
GroupName = Annotated[str, typer.Argument(metavar="GROUP")]
Config = Annotated[
    list[str] | None,
    typer.Option(
        "--config", "-c", metavar="NAME=VALUE", help="A setting, by Kafka's name; repeatable."
    ),
]


def add_log_commands(program: typer.Typer) -> None:
    """Let all that is about a log be typed."""
    topics = typer.Typer(cls=Listing, help=TOPICS_HELP)
    _add(topics, "list", topics_list)
    _add(topics, "describe", topics_describe)
    _add(topics, "create", topics_create)
    _add(topics, "alter", topics_alter)
    _add(topics, "delete", topics_delete)
    groups = typer.Typer(cls=Listing, help=GROUPS_HELP)
    _add(groups, "list", groups_list)
    _add(groups, "describe", groups_describe)
    _add(groups, "reset", groups_reset)
    program.add_typer(topics, name="topics")
    _add(program, "tail", tail)
    _add(program, "send", send)
    program.add_typer(groups, name="groups")


def _add(program: typer.Typer, name: str, command: Callable[..., None]) -> None:
    program.command(name, help=unwrapped(command.__doc__))(command)


class Listing(TyperGroup):
    """Without a subcommand, `list`; with a name instead, `describe`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args in (["-h"], ["--help"]):
            return super().parse_args(ctx, args)
        position = _first_word(args)
        if position is None:
            return super().parse_args(ctx, ["list", *args])
        word = args[position]
        if word in self.commands:
            return super().parse_args(ctx, [word, *args[:position], *args[position + 1 :]])
        return super().parse_args(ctx, ["describe", *args])


def _first_word(args: list[str]) -> int | None:
    """Return the position of the first argument that is neither an option nor its value."""
    position = 0
    while position < len(args):
        if not args[position].startswith("-"):
            return position
        position += 2 if args[position] in OPTIONS_WITH_VALUE else 1
    return None


# -- topics ------------------------------------------------------------------------------------

TOPICS_HELP: Final = """
List all topics; describe some; make, alter or delete them.

Transactions and compaction leave gaps in the offsets, so there may be fewer records than offsets.
"""


def topics_list(data: DataIfAny = None, log: LogOption = None) -> None:
    """List all topics; what `topics` does by itself."""
    from .topics import show_topics

    finish(perform(show_topics, place_of(data, log), ()))


def topics_describe(names: TopicNames, data: DataIfAny = None, log: LogOption = None) -> None:
    """Describe topics, partition by partition; `topics NAME` does as well."""
    from .topics import show_topics

    finish(perform(show_topics, place_of(data, log), names))


def topics_create(
    name: TopicName,
    partitions: Annotated[int, typer.Option(metavar="N", help="How many.")] = 1,
    config: Config = None,
    replication: Annotated[
        int, typer.Option(metavar="N", help="How many brokers keep it; -1: as the cluster has it.")
    ] = -1,
    data: DataIfAny = None,
    log: LogOption = None,
) -> None:
    """Make a topic."""
    from .topic_changes import create_topic

    finish(perform(create_topic, place_of(data, log), name, partitions, replication, config or ()))


def topics_alter(
    name: TopicName,
    config: Config = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Let a setting have its default again; repeatable."),
    ] = None,
    partitions: Annotated[
        int | None, typer.Option(metavar="N", help="How many it is to have; more than now.")
    ] = None,
    data: DataIfAny = None,
    log: LogOption = None,
) -> None:
    """Give a topic other settings, or more partitions.

    With more partitions, keys move: the records of a key are then in two of them.
    """
    from .topic_changes import alter_topic

    place = place_of(data, log)
    finish(perform(alter_topic, place, name, partitions, config or (), unset or ()))


def topics_delete(
    names: TopicNames,
    sure: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    data: DataIfAny = None,
    log: LogOption = None,
) -> None:
    """Delete topics with all their records."""
    from .topic_changes import delete_topics

    finish(perform(partial(delete_topics, sure=sure), place_of(data, log), names))


# -- groups ------------------------------------------------------------------------------------

GROUPS_HELP: Final = """
List consumer groups with their lag; describe one; let one read on from elsewhere.
"""


def groups_list(data: DataIfAny = None, log: LogOption = None) -> None:
    """List consumer groups with their lag; what `groups` does by itself."""
    from .groups import show_groups

    finish(perform(show_groups, place_of(data, log), None))


def groups_describe(group: GroupName, data: DataIfAny = None, log: LogOption = None) -> None:
    """Show a group, partition by partition; `groups NAME` does as well."""
    from .groups import show_groups

    finish(perform(show_groups, place_of(data, log), group))


def groups_reset(
    group: GroupName,
    to: Annotated[
        str,
        typer.Option(
            metavar="WHERE",
            help="earliest, latest, an offset, or a time: 90s, 15m, 2h or 7d ago, or ISO 8601.",
        ),
    ],
    topic: Annotated[
        list[str] | None,
        typer.Option(metavar="TOPIC", help="Only here, in all partitions; repeatable."),
    ] = None,
    only_show: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be, and change nothing.")
    ] = False,
    data: DataIfAny = None,
    log: LogOption = None,
) -> None:
    """Let a group read on from elsewhere, while it has no members.

    An app whose tables count what it reads will count it again.
    """
    from .group_reset import parse_target, reset_group

    target = parse_target(to, moment)
    place = place_of(data, log)
    finish(perform(partial(reset_group, only_show=only_show), place, group, target, topic or ()))


# -- records -----------------------------------------------------------------------------------


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
    data: DataIfAny = None,
    log: LogOption = None,
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
    code = perform(show_records, place_of(data, log), wanted)
    finish(0 if code == EXIT_INTERRUPTED else code)


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
    data: DataIfAny = None,
    log: LogOption = None,
) -> None:
    """Put records into a topic: of a directory, while no worker runs; of a broker, at any time.

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
        [parse_header(text) for text in header or ()],
    )
    finish(perform(send_records, place_of(data, log), outgoing))
