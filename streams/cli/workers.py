"""`millpond worker -n N`: which processes that takes.

On a cluster: N workers. On the embedded log, which one process may have: a broker on the same directory,
and N workers on that. All share the data directory, in which each task's state is a directory of its own.

Each worker is a static member of the app's group, under a name that it keeps: so one that is started
again finds its tasks as it left them. The names come from a file in the data directory, which also keeps
two of these commands from taking the same names.
"""

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ...log.errors import ConfigError, LogLocked
from ..app import App
from ..loader import load_app
from .failures import reported
from .local_broker import LocalBroker
from .supervisor import Supervisor
from .worker import Choice, configured


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker as a program to be supervised."""

    label: str
    target: str
    app: App
    url: str
    instance: str

    def arguments(self) -> list[str]:
        """Return the command: with all that is chosen, whatever the environment says."""
        return [
            "worker",
            self.target,
            *("--log", self.url),
            *("--data", str(self.app.data)),
            *("--instance", self.instance),
        ]

    def hear(self, line: str) -> None:
        """Take no notice."""


def run_workers(target: str, choice: Choice, count: int) -> int:
    """Run an app in several processes until they are stopped, and return the exit code."""
    with reported() as outcome:
        app = configured(load_app(target, App), choice)
        app.topology()  # what does not fit together is told once, and not by each worker
        with instance_of(app) as instance:
            broker = None if app.log else LocalBroker(app.data, app.settings.durability)

            def workers() -> list[Worker]:
                url = app.log or (broker.url if broker else "")
                return [
                    Worker(str(number), target, app, url, f"{instance}.{number}")
                    for number in range(1, count + 1)
                ]

            outcome.code = Supervisor().run(workers, broker)
    return outcome.code


@contextmanager
def instance_of(app: App) -> Iterator[str]:
    """Return what all workers' names begin with: the one that was chosen, or the directory's own.

    Raises:
        LogLocked: the same app is being run by such a command, in the same directory.
        ConfigError: the directory can't be written to.
    """
    if app.settings.instance is not None:
        yield app.settings.instance
        return
    path = app.data / f"{app.name}.instance"
    try:
        app.data.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ConfigError(f"{str(path)!r} can't be written: {error.strerror}") from None
    with os.fdopen(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _name, _, holder = file.read().partition("\n")
            raise LogLocked(
                f"app {app.name!r} is being run in {str(app.data)!r} by `worker -n` already "
                f"({holder.strip()}). Stop that first, or give this one another --data or --instance"
            ) from None
        name = file.readline().strip() or uuid.uuid4().hex[:12]
        file.seek(0)
        file.truncate()
        file.write(f"{name}\npid {os.getpid()}\n")
        file.flush()
        yield name
