"""Reads a cluster: a reader is a view on flows that fetchers of the log bring (`fetcher.py`).

What has come of a partition waits there until it is read, partitions in turns. So a cancelled read loses
nothing: what comes meanwhile is there for the next one.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import anyio
import anyio.lowlevel

from ..errors import OffsetOutOfRange
from ..model import Fetched, Isolation, Offset, TopicPartition
from .fetcher import Fetcher
from .flow import Flow
from .offsets import Offsets

EVEN_S: Final = 0.1
"""How long a new assignment waits until each of its partitions was asked for once: else those of the
first leader to answer would run ahead."""


class ClusterReader:
    """A `Reader` whose partitions are fetched in the background."""

    def __init__(
        self, isolation: Isolation, fetcher: Callable[[], Fetcher], offsets: Offsets
    ) -> None:
        self._isolation = isolation
        self._fetcher = fetcher
        self._offsets = offsets
        self._news = anyio.Event()
        self._positions: dict[TopicPartition, Offset] = {}
        self._flows: dict[TopicPartition, Flow] = {}
        self._is_even = True

    def assign(self, positions: Mapping[TopicPartition, Offset]) -> None:
        if self._flows:
            self._fetcher().leave(self._flows.values())
        self._positions = dict(positions)
        self._flows = {
            partition: Flow(partition, offset, self._isolation, self._wake)
            for partition, offset in positions.items()
        }
        self._is_even = False
        if self._flows:
            self._fetcher().add(self._flows.values())
        self._wake()

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            if partition in self._flows:
                self._flows[partition].is_paused = True

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            if partition in self._flows:
                self._flows[partition].resume()
        self._wake()

    async def read(
        self, *, bytes_max: int = 1 << 20, wait_max_s: float | None = None
    ) -> list[Fetched]:
        await anyio.lowlevel.checkpoint()
        deadline = math.inf if wait_max_s is None else time.monotonic() + wait_max_s
        while True:
            left_s = deadline - time.monotonic()
            if not self._is_even:
                await self._wait_until_even(min(left_s, EVEN_S))
            await self._raise_failure()
            self._news = anyio.Event()
            found = self._take(bytes_max)
            if found or left_s <= 0:
                return found
            with anyio.move_on_after(left_s):
                await self._news.wait()

    async def aclose(self) -> None:
        self.assign({})

    def _wake(self) -> None:
        self._news.set()

    async def _wait_until_even(self, wait_s: float) -> None:
        with anyio.move_on_after(wait_s):
            while any(flow.is_awaited for flow in self._flows.values()):
                self._news = anyio.Event()
                await self._news.wait()
        self._is_even = True

    async def _raise_failure(self) -> None:
        """Raise what a flow has come to, once all before it was handed over."""
        for partition, flow in self._flows.items():
            if flow.error is None or flow.is_paused or flow.has_news(self._positions[partition]):
                continue
            if isinstance(flow.error, OffsetOutOfRange):
                starts = await self._offsets.starts([partition])
                ends = await self._offsets.ends([partition], Isolation.READ_UNCOMMITTED)
                raise OffsetOutOfRange(
                    partition, self._positions[partition], starts[partition], ends[partition]
                )
            raise flow.error

    def _take(self, bytes_max: int) -> list[Fetched]:
        """Take what has arrived, in turns; who was served goes to the end."""
        ready = [
            flow
            for partition, position in self._positions.items()
            if (flow := self._flows[partition]).has_news(position)
        ]
        fetched = []
        for served, flow in enumerate(ready):
            if bytes_max <= 0:
                break
            share = bytes_max // (len(ready) - served)
            position = self._positions.pop(flow.partition)
            one, size = flow.take(position, share)
            self._positions[flow.partition] = one.next_offset
            bytes_max -= size
            if one.next_offset > position:
                fetched.append(one)
        return fetched
