"""The command `millpond`: run an app, and look at what its data directory holds.

Commands that look open the log read-only, so they work beside a running worker. `program.py` says
what can be typed; each command's work is in a file of its own, imported when it is called, so that
a worker does not wait for what only the others need.
"""

import sys


def main() -> int:
    """Run the command line of this process and return its exit code."""
    from .program import run

    return run(sys.argv[1:])
