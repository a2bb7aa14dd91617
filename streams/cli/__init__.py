"""The command `millpond`: run an app or a broker, and look at what its data directory holds.

Commands that look open the log read-only, so they work beside a running worker. `program.py` says
what can be typed; each command's work is in a file of its own, imported when it is called.

A worker should reach its first record within half a second, and typer alone takes a third of that
(it loads pydantic to read arguments). So `worker` and `broker` with values to their long options, which
is what people type, are understood here; whatever else there is to say about either, typer says.
"""

import sys
from collections.abc import Sequence
from typing import Final

DATA_VARIABLE: Final = "MILLPOND_DATA"
"""The environment variable that names the data directory, where an option does not."""

INSTANCE_VARIABLE: Final = "MILLPOND_INSTANCE"
"""The environment variable that names a worker, where an option does not."""

DEFAULT_ADDRESS: Final = "127.0.0.1:9092"
"""Where a broker listens if nobody says otherwise: Kafka's port, for programs of this machine."""

REPEATABLE: Final = frozenset({"--listen", "--advertise", "--set"})
BROKER_OPTIONS: Final = REPEATABLE | {
    "--data",
    "--node-id",
    "--durability",
    "--tls-cert",
    "--tls-key",
}
"""What `millpond broker` may be told; `program.py` describes them."""

WORKER_OPTIONS: Final = frozenset({"--data", "--log", "--instance"})
"""The same of a single `millpond worker`."""


def main() -> int:
    """Run the command line of this process and return its exit code."""
    return run(sys.argv[1:])


def run(arguments: Sequence[str]) -> int:
    """Do what a command line says, and return the exit code."""
    plain = plain_worker(arguments)
    if plain is not None:
        from .worker import Choice, run_worker

        target, chosen = plain
        return run_worker(target, Choice(**chosen))
    options = plain_broker(arguments)
    if options is not None:
        from .broker import chosen_of, run_broker

        return run_broker(chosen_of(options))
    from .program import run_program

    return run_program(arguments)


def plain_worker(arguments: Sequence[str]) -> tuple[str, dict[str, str]] | None:
    """Return the app, and what else a worker was told, if it is not more than can be told once."""
    if arguments[:1] != ["worker"]:
        return None
    targets, chosen, words = [], {}, iter(arguments[1:])
    for word in words:
        if word in WORKER_OPTIONS:
            name, value = word.removeprefix("--"), next(words, "-")
            if value.startswith("-") or name in chosen:
                return None
            chosen[name] = value
        elif word.startswith("-"):
            return None
        else:
            targets.append(word)
    return (targets[0], chosen) if len(targets) == 1 else None


def plain_broker(arguments: Sequence[str]) -> dict[str, list[str]] | None:
    """Return the options that a broker was given, if each is one that it has, with a value."""
    if arguments[:1] != ["broker"] or len(arguments) % 2 == 0:
        return None
    options: dict[str, list[str]] = {}
    for name, value in zip(arguments[1::2], arguments[2::2], strict=True):
        if name not in BROKER_OPTIONS or value.startswith("-"):
            return None
        options.setdefault(name, []).append(value)
    if any(len(values) > 1 and name not in REPEATABLE for name, values in options.items()):
        return None
    return options
