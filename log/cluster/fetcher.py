"""Fetches partitions from their leaders, for all readers of a log: over few connections of our own.

    Flow ─► homeless ─► (leader found) ─► LeaderFetcher ─► Fetch ─► Flow.came
                 ▲                              │
                 └──────── moved, broken ◄──────┘

A reader has partitions as *flows*; a flow wants more until enough of it waits to be read. Here it is found
out who leads them, and `leader_fetcher.py` asks these.

Fetched batches are decoded by whoever reads them (`flow.py`). That is why this is not left to librdkafka:
it hands over one object for each record, which costs more than all that a pipeline does with it
(`python -m bench.cluster_reader`).

What a reader has to be told becomes its flow's error. Whatever passes by itself, a leader that moves or a
broker that is away, is waited for as long as it takes.

Source: KIP-516 (a topic made anew is another one).
"""

from collections.abc import Iterable
from typing import Final

import anyio
import anyio.abc

from ..errors import MillpondError, UnknownTopic, Unreachable
from ..model import Isolation
from .address import FetchLimits
from .brokers import Brokers, NoLeader
from .flow import Flow
from .leader_fetcher import LeaderFetcher

RETRY_PAUSE_S: Final = 0.05
MISSES_MAX: Final = 1
"""In a large cluster some broker may not know a topic yet, so one answer is not believed."""


class Fetcher:
    """Brings flows of one isolation from all leaders of a cluster."""

    def __init__(
        self,
        brokers: Brokers,
        isolation: Isolation,
        limits: FetchLimits,
        tasks: anyio.abc.TaskGroup,
    ) -> None:
        self._brokers = brokers
        self._isolation = isolation
        self._limits = limits
        self._tasks = tasks
        self._leaders: dict[int, LeaderFetcher] = {}
        self._homeless: list[Flow] = []
        self._moved: list[Flow] = []  # homeless, too, but looked for a little later
        self._added = anyio.Event()
        tasks.start_soon(self._find_leaders)

    def add(self, flows: Iterable[Flow]) -> None:
        """Fetch these from now on."""
        self._homeless.extend(flows)
        self._added.set()

    def leave(self, flows: Iterable[Flow]) -> None:
        """Fetch these no more; what is under way is dropped when it comes."""
        for flow in flows:
            flow.has_left = True
        for leader in self._leaders.values():
            leader.drop_left()

    def _give_back(self, flows: Iterable[Flow]) -> None:
        """Find out anew who leads these, after a pause: until others know, the answer is the same."""
        self._moved.extend(flows)
        self._added.set()

    async def _find_leaders(self) -> None:
        while True:
            homeless, self._homeless = self._homeless, []
            try:
                while homeless:
                    await self._find_leader(homeless[-1])
                    homeless.pop()
            except Unreachable:
                self._moved += homeless
            if self._moved:
                await anyio.sleep(RETRY_PAUSE_S)
                self._homeless, self._moved = self._homeless + self._moved, []
            elif not self._homeless:
                self._added = anyio.Event()
                await self._added.wait()

    async def _find_leader(self, flow: Flow) -> None:
        """Let a flow be fetched from its leader, or later.

        Raises:
            Unreachable: no broker answers, so others need not be asked for.
        """
        if flow.has_left:
            return
        try:
            topic_id = (await self._brokers.topic(flow.partition.topic)).topic_id
            leader = await self._brokers.leader(flow.partition)
        except UnknownTopic as error:
            flow.misses += 1
            if flow.misses > MISSES_MAX:
                flow.fail(error)
            else:
                self._moved.append(flow)
        except NoLeader:
            self._moved.append(flow)
        except Unreachable:
            raise
        except MillpondError as error:
            flow.fail(error)
        else:
            if flow.is_answered and flow.topic_id != topic_id:
                flow.fail(UnknownTopic(f"topic {flow.partition.topic!r} does not exist any longer"))
                return
            flow.misses, flow.topic_id = 0, topic_id
            if not flow.has_left:  # meanwhile
                self._fetcher_of(leader.node_id).add(flow, leader)

    def _fetcher_of(self, node_id: int) -> "LeaderFetcher":
        if node_id not in self._leaders:
            self._leaders[node_id] = LeaderFetcher(
                node_id, self._brokers, self._isolation, self._limits, self._tasks, self._give_back
            )
        return self._leaders[node_id]
