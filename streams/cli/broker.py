"""`millpond broker`: serve a data directory over the Kafka protocol, until a signal.

first signal    accept nothing more, answer what is in flight, close the log
second signal   leave the process. What was acknowledged is on disk.
"""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import ssl
import sys
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, cast

from ...log.broker.settings import BrokerSettings
from ...log.errors import ConfigError
from ...log.server import serve
from ...log.shell.allocator import keep_large_buffers
from ...log.shell.flusher import Durability
from ...log.shell.listeners import Listener, show
from ..engine.process import collect_garbage_rarely
from . import DATA_VARIABLE, DEFAULT_ADDRESS, REPEATABLE
from .failures import perform, reported
from .look import log_directory

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
DEFAULT_DATA: Final = "data"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the command line says of a broker."""

    data: str | Path
    listen: Sequence[str] = (DEFAULT_ADDRESS,)
    advertise: Sequence[str] = ()
    node_id: int | str | None = None
    set: Sequence[str] = ()
    durability: str = "fsync"
    tls_cert: str | Path | None = None
    tls_key: str | Path | None = None


def chosen_of(options: Mapping[str, Sequence[str]]) -> Chosen:
    """Make sense of options and their values, each of which the broker has."""
    values: dict[str, Any] = {}
    for option, given in options.items():
        name = option.removeprefix("--").replace("-", "_")
        values[name] = given if option in REPEATABLE else given[0]
    return Chosen(**{"data": os.environ.get(DATA_VARIABLE) or DEFAULT_DATA, **values})


def run_broker(chosen: Chosen) -> int:
    """Run a broker until it is stopped, and return the exit code."""
    with reported() as outcome:
        _allow_many_files()
        keep_large_buffers()
        outcome.code = perform(_work, Path(chosen.data).absolute(), chosen)
    return outcome.code


async def _work(data: Path, chosen: Chosen) -> None:
    stopped = asyncio.Event()
    _stop_on_signals(stopped)
    async with serve(
        log_directory(data),
        listeners=_listeners(chosen),
        settings=_settings(chosen),
        durability=cast("Durability", chosen.durability),  # which is checked there
        tls=_tls(chosen),
    ) as server:
        addresses = ", ".join(show(address) for address in server.addresses)
        node_id = server.node.settings.node_id
        collect_garbage_rarely()
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        print(
            f"millpond broker {node_id} is ready: {addresses}, directory {data}",
            flush=True,
        )
        await _first(stopped.wait(), server.until_failed())


def _allow_many_files() -> None:
    """Let the process open as many files as it may: each partition and connection takes some."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems name a limit that they refuse
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _first(*waits: Coroutine[Any, Any, Any]) -> None:
    """Wait for one of several; raise what it raises."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    for task in done:
        task.result()


def _stop_on_signals(stopped: asyncio.Event) -> None:
    """Set the event at the first signal, leave at the second, even if the loop is blocked."""
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if received:
            print("stopped at once", file=sys.stderr, flush=True)
            os._exit(128 + number)
        received.append(number)
        loop.call_soon_threadsafe(stopped.set)

    for number in SIGNALS:
        signal.signal(number, on_signal)


def _listeners(chosen: Chosen) -> list[Listener]:
    if len(chosen.advertise) > len(chosen.listen):
        raise ConfigError(
            f"--advertise {chosen.advertise[len(chosen.listen)]!r} belongs to no --listen: "
            "the first of the one goes with the first of the other, and so on"
        )
    advertised = [*chosen.advertise, *[None] * (len(chosen.listen) - len(chosen.advertise))]
    return [Listener(*pair) for pair in zip(chosen.listen, advertised, strict=True)]


def _settings(chosen: Chosen) -> BrokerSettings:
    given = {}
    for text in chosen.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text!r} is not of the form name=value")
        given[name.strip()] = value.strip()
    if chosen.node_id is not None:
        given["node.id"] = str(chosen.node_id)
    return BrokerSettings.parse(given)


def _tls(chosen: Chosen) -> ssl.SSLContext | None:
    if chosen.tls_cert is None and chosen.tls_key is None:
        return None
    if chosen.tls_cert is None:
        raise ConfigError("--tls-key is of no use without --tls-cert")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(chosen.tls_cert, chosen.tls_key)
    except (OSError, ssl.SSLError) as error:
        files = f"--tls-cert {str(chosen.tls_cert)!r}"
        if chosen.tls_key is not None:
            files += f" with --tls-key {str(chosen.tls_key)!r}"
        raise ConfigError(f"{files} can't be used: {error}") from None
    return context
