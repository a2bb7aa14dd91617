"""Where the log is that a command is about: in a data directory, or on a cluster.

    millpond topics --data ./data
    millpond topics --log kafka://localhost:9092        or MILLPOND_LOG=kafka://localhost:9092

All commands about a log take either. A directory is opened read-only by those that look, which works
beside a running worker or broker; those that change something need it for themselves. A cluster has
no such difference.

Commands about an app may be told both, for an app on a cluster has its state in its directory still.
What they are not told, the app says. So with them `--data` does not outdo MILLPOND_LOG.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...log.cluster.address import Settings, parse_address
from ...log.embedded import EmbeddedLog
from ...log.errors import ConfigError, LogError, LogLocked, Unreachable
from ...log.interface import Log
from ...log.model import TopicPartition
from . import DATA_VARIABLE, look

if TYPE_CHECKING:
    from ...log.cluster.cluster_log import ClusterLog
    from ..app import App

LOG_VARIABLE: Final = "MILLPOND_LOG"
"""The environment variable that names a cluster, where an option does not."""

CONNECT_S: Final = 3.0
CALL_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the log is: on the cluster at `url`, or, without one, in `data`.

    Attributes:
        client: settings of librdkafka, of an app.
    """

    data: Path
    url: str | None = None
    client: Settings = field(default_factory=dict)

    def __str__(self) -> str:
        return self.url or str(look.log_directory(self.data).absolute())


def choose_place(
    data: Path | None, url: str | None, environment: Mapping[str, str], data_variable: str
) -> Place:
    """Return where the log is, by options and environment; an option counts before a variable.

    Args:
        data: the option --data, or what typer took from its variable.
        url: the option --log.
        environment: variables.
        data_variable: the one that typer looks at.
    """
    data_from_variable = data is not None and environment.get(data_variable) == str(data)
    if url and data is not None and not data_from_variable:
        raise ConfigError(
            f"--data {str(data)!r} and --log {url!r} are two logs: name the one that is meant"
        )
    if not url and (data is None or data_from_variable):
        url = environment.get(LOG_VARIABLE)
    return Place(data or look.DATA, url or None)


def place_of_app(
    app: "App", data: str | Path | None, url: str | None, environment: Mapping[str, str]
) -> Place:
    """Return where an app runs, by options, environment, and what it says itself, in this order.

    Raises:
        ConfigError: the address won't do.
    """
    url = url or environment.get(LOG_VARIABLE) or app.log
    if url:
        parse_address(url, app.settings.client, CALL_S)
    return Place(
        Path(data or environment.get(DATA_VARIABLE) or app.data), url or None, app.settings.client
    )


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[Log]:
    """Open a log for reading.

    Raises:
        ConfigError: there is none in the directory, or the address won't do.
        Unreachable: no broker answers.
    """
    if place.url is None:
        async with look.opened(place.data) as log:
            yield log
        return
    async with _cluster(place) as log:
        yield log


@asynccontextmanager
async def opened_to_change(place: Place, what: str) -> AsyncIterator[Log]:
    """Open a log that is to be changed; `what` says, should it be locked, that this wasn't done.

    Raises:
        LogLocked: a worker or a broker has the directory.
        ConfigError, Unreachable: see `opened`.
    """
    if place.url is not None:
        async with _cluster(place) as log:
            yield log
        return
    look.check_has_log(place.data)
    try:
        async with EmbeddedLog.open(look.log_directory(place.data)) as log:
            yield log
    except LogLocked as error:
        raise LogLocked(
            f"{what}. {error} If it is a broker that has it, this can be done through the broker: "
            "--log kafka://HOST:PORT instead of --data."
        ) from None


async def sizes(place: Place, log: Log, topics: Mapping[str, int]) -> dict[TopicPartition, int]:
    """Return the bytes that partitions take on disk, of topics by partition count.

    What a cluster does not tell is missing.
    """
    if place.url is None:
        partitions = [
            TopicPartition(name, n) for name, count in topics.items() for n in range(count)
        ]
        return {each: look.bytes_on_disk(place.data, each) for each in partitions}
    try:
        return await _as_cluster(log).sizes(topics)
    except LogError:
        return {}


@asynccontextmanager
async def _cluster(place: Place) -> AsyncIterator[Log]:
    from ...log.cluster.cluster_log import ClusterLog

    assert place.url is not None
    try:
        async with ClusterLog.open(
            place.url, settings=place.client, connect_timeout_s=CONNECT_S, timeout_s=CALL_S
        ) as log:
            yield log
    except Unreachable as error:
        raise Unreachable(
            f"{error}. `millpond broker` starts one; --log or {LOG_VARIABLE} names another."
        ) from None


def _as_cluster(log: Log) -> "ClusterLog":
    from ...log.cluster.cluster_log import ClusterLog

    assert isinstance(log, ClusterLog)
    return log
