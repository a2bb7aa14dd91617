"""The broker that `millpond worker -n N` starts on an app's own directory.

Several processes can't share an embedded log, so a broker serves it to them, on a port of the kernel's
choice and for this machine only. Started again, it takes the same port, so that the workers go on.
"""

import re
from pathlib import Path
from typing import Final

LABEL: Final = "broker"
LONGEST_MINUTES: Final = 2**31 - 1

_READY: Final = re.compile(r"millpond broker \S+ is ready: 127\.0\.0\.1:(\d+), .*")


class LocalBroker:
    """The broker as a program to be supervised."""

    label = LABEL

    def __init__(self, data: Path, durability: str) -> None:
        self._data = data
        self._durability = durability
        self._port = 0

    @property
    def ready(self) -> bool:
        return self._port != 0

    @property
    def url(self) -> str:
        """Where the log is, once it is ready."""
        return f"kafka://127.0.0.1:{self._port}"

    def arguments(self) -> list[str]:
        """Return the command: a log like the embedded one, where nothing is made or forgotten by itself."""
        return [
            "broker",
            *("--data", str(self._data)),
            *("--listen", f"127.0.0.1:{self._port}"),
            *("--durability", self._durability),
            *("--set", "auto.create.topics.enable=false"),
            *("--set", f"offsets.retention.minutes={LONGEST_MINUTES}"),
        ]

    def hear(self, line: str) -> None:
        """Learn the port from the line that says that it is ready."""
        found = _READY.fullmatch(line)
        if found is not None:
            self._port = int(found[1])
