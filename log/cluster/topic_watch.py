"""Looks now and then whether the topics that are read still exist: once for all readers of a log.

librdkafka does not always tell that a topic is gone. One answer is not enough: in a large cluster some
broker may not know a topic yet. So a topic is gone when two answers in a row have missed it.
"""

import time
from collections import deque
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple
from uuid import UUID

import anyio

from ..errors import UnknownTopic
from .topics import Topics

LOOK_S: Final = 1.0
"""How often is looked."""

WATCHED_S: Final = 5.0
"""How long a topic counts among those that are looked for, after somebody has asked."""


class Look(NamedTuple):
    """One answer of the cluster, by the monotonic clock."""

    at: float
    watched: frozenset[str]
    found: Mapping[str, UUID]


class TopicWatch:
    """What was seen of the topics of one cluster."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._turn = anyio.Lock()
        self._watched: dict[str, float] = {}
        self._looks: deque[Look] = deque(maxlen=2)

    async def ids(self, names: Collection[str]) -> dict[str, UUID]:
        """Return the topics' present ids; those who ask at the same time share an answer.

        Raises:
            UnknownTopic: one does not exist.
        """
        found = await self._look(names, time.monotonic())
        for name in names:
            if name not in found:
                raise UnknownTopic(f"there is no topic {name!r}")
        return {name: found[name] for name in names}

    async def check(self, topic_ids: Mapping[str, UUID], since: float) -> None:
        """Look, unless somebody has just done so.

        Args:
            topic_ids: which topics there should be.
            since: when these were known to be there.

        Raises:
            UnknownTopic: one was missed twice since then, or another one has its name.
        """
        await self._look(topic_ids.keys(), time.monotonic() - LOOK_S * 0.9)
        for name, topic_id in topic_ids.items():
            missed = sum(
                look.at > since and name in look.watched and look.found.get(name) != topic_id
                for look in self._looks
            )
            if missed > 1:
                raise UnknownTopic(f"topic {name!r} does not exist any longer")

    async def _look(self, names: Collection[str], not_before: float) -> Mapping[str, UUID]:
        """Return what is found of these, and maybe of others, not before that time."""
        self._watched.update(dict.fromkeys(names, time.monotonic()))
        async with self._turn:
            last = self._looks[-1] if self._looks else None
            if last and last.at >= not_before and last.watched.issuperset(names):
                return last.found
            now = time.monotonic()
            self._watched = {name: at for name, at in self._watched.items() if at > now - WATCHED_S}
            watched = frozenset(self._watched.keys() | names)
            found = await self._topics.ids(watched)
            self._looks.append(Look(now, watched, found))
            return found
