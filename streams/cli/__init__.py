"""The command `millpond`: run an app, and look at what its data directory holds.

Commands that look open the log read-only, so they work beside a running worker. `program.py` says
what can be typed; each command's work is in a file of its own, imported when it is called.

A worker should reach its first record within half a second, and typer alone takes a third of that
(it loads pydantic to read arguments). So the plain `worker MODULE:APP [--data DIR]`, which is what
people type, is understood here; whatever else there is to say about a worker, typer says.
"""

import sys
from collections.abc import Sequence
from typing import Final

DATA_VARIABLE: Final = "MILLPOND_DATA"
"""The environment variable that names the data directory, where an option does not."""


def main() -> int:
    """Run the command line of this process and return its exit code."""
    return run(sys.argv[1:])


def run(arguments: Sequence[str]) -> int:
    """Do what a command line says, and return the exit code."""
    plain = plain_worker(arguments)
    if plain is not None:
        from .worker import run_worker

        return run_worker(*plain)
    from .program import run_program

    return run_program(arguments)


def plain_worker(arguments: Sequence[str]) -> tuple[str, str | None] | None:
    """Return the app and the data directory, if that is all that a worker was told."""
    match arguments:
        case ["worker", target]:
            data = None
        case ["worker", target, "--data", data] | ["worker", "--data", data, target]:
            pass
        case _:
            return None
    return None if target.startswith("-") or (data or "").startswith("-") else (target, data)
