"""How topics come and go while others work: the same for requests and for the embedded log.

Who drives these handlings must hold the right to change what exists (`yield Exclusive()`) before
deciding anything, and until they end: so no compaction is under way in what is removed, and no topic
is made while its namesake's files are being removed.
"""

from collections.abc import Collection
from functools import partial
from typing import Final

from ..model import Timestamp
from .core import Broker
from .directories import close_files
from .groups import Groups
from .growth import Growth
from .waits import Aside, Handling, Quiet

PARTITIONS_AT_ONCE: Final = 100
"""How many partitions one sync is for: making them takes some 30 ms."""


def let_grow(broker: Broker, growth: Growth, now: Timestamp) -> Handling[None]:
    """Create topics or add partitions; durable at the end, and seen from then on.

    Raises:
        DirectoryTaken: there are directories of that name, with records in them; nothing has changed.
    """
    broker.begin_growth(growth, now)
    while growth.missing:
        yield Aside(partial(broker.grow, growth, PARTITIONS_AT_ONCE, now))
    broker.end_growth(growth)


def remove_topics(
    broker: Broker, groups: Groups, names: Collection[str], now: Timestamp
) -> Handling[None]:
    """Remove topics, what groups have committed in them, and at last their files.

    Whoever waits for records of theirs is woken when this ends, and finds them gone.

    Raises:
        UnknownTopic, ConfigError: of one of them; nothing was removed.
    """
    if not names:
        return
    gone = broker.remove_topics(names, now)
    yield from groups.forget_topics(names, now)
    yield Quiet(partial(close_files, gone))
    yield Aside(partial(broker.discard, gone))
