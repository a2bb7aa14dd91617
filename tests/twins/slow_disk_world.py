"""A broker whose disk syncs only when told to: requests stay where they wait for it.

world = SlowDiskWorld()
asked = world.send(END_TXN, 3, request)
assert asked in world.held                  # the decision is appended, not durable
world.sync(asked)                           # now it is; the request goes on
world.cut_power(lose_unsynced=True)         # or not: requests are gone, and what was not synced
"""

from typing import Any

from millpond.log.broker.waits import Flush, Promise
from millpond.log.wire.api import Api

from tests.twins.node_world import Asked, NodeWorld


class SlowDiskWorld(NodeWorld):
    """A broker of which each sync is up to the test."""

    def open(self) -> None:
        """Open the broker, with no request under way."""
        self.held: list[Asked[Any]] = []
        super().open()

    def sync(self, asked: Asked[Any]) -> None:
        """Sync what a request waits for, and let it go on to its next sync."""
        self.held.remove(asked)
        for log in asked.waits_for:
            log.flush()
        self._go_on(asked, asked.api, asked.version, None)  # type: ignore[attr-defined]
        self._settle()

    def sync_all(self) -> None:
        """Let all requests come to their end, and the rest of the disk be synced."""
        while self.held:
            self.sync(self.held[0])
        for log in self.node.broker.partitions.values():
            log.flush()

    def cut_power(self, *, lose_unsynced: bool, torn_seed: int | None = None) -> None:
        """Stop without warning, and open what is left. Or only kill the broker: nothing is lost."""
        for asked in self.waiting + self.held:
            if asked.handling is not None:
                asked.handling.close()
        self.waiting.clear()
        self.disk.crash(lose_unsynced=lose_unsynced, torn_seed=torn_seed)
        self.open()

    def _go_on(self, asked: Asked[Any], api: Api[Any, Any], version: int, value: Any) -> None:
        asked.api, asked.version = api, version  # type: ignore[attr-defined]
        assert asked.handling is not None
        try:
            while True:
                wait = asked.handling.send(value)
                value = None
                if isinstance(wait, Flush):
                    continue
                if isinstance(wait, Promise):
                    if wait.kept:
                        value = wait.value
                        continue
                    asked.waits_for = wait
                    self.waiting.append(asked)
                    return
                asked.waits_for = list(wait)
                if any(log.needs_sync for log in asked.waits_for):
                    self.held.append(asked)
                    return
        except StopIteration as done:
            self._answer(asked, api, version, done.value)
