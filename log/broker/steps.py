"""How a change that spans several syncs is written down: as a generator of what must be durable.

    def commit(...) -> Steps[Result]:
        ...                 # append the data
        yield data_logs     # goes on when these are on disk
        ...                 # append the decision
        yield [decision_log]
        ...                 # tell the world
        return result

The order that durability needs stands there in plain sight, the code stays deterministic, and a test
can stop it, or crash, at every step. Whoever runs it does the syncing, for many at once.
"""

from collections.abc import Collection, Generator
from typing import TypeAlias, TypeVar

from ..storage.partition_log import PartitionLog

T = TypeVar("T")

Steps: TypeAlias = Generator[Collection[PartitionLog], None, T]
