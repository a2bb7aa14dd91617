"""What this broker can do beyond what its API versions say, by the names that clients look for.

Clients act on two of them: the Java consumer speaks KIP-848 where `group.version` is 1, and its
producer the transactions of KIP-890 where `transaction.version` is 2. `metadata.version` is what
tools show as the version of the cluster: 27 stands for Kafka 4.1.

Source: KIP-584, KIP-1022 (a feature may be off, at version 0).
"""

from typing import Final, NamedTuple


class Feature(NamedTuple):
    """A feature, the versions that are known, and the one in force."""

    name: str
    first: int
    last: int
    in_force: int


FEATURES: Final = (
    Feature("group.version", 0, 1, 1),
    Feature("metadata.version", 7, 27, 27),
    Feature("transaction.version", 0, 2, 2),
)
