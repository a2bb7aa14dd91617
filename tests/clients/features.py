"""What a Kafka client can ask of a broker: the rows of `docs/clients.md`, and how a test says which one it shows.

Each file `test_<client>.py` is one column. It has the constants `CLIENT` and `MISSING`, the features that this client
does not have with the reason; every other feature is marked on a test, or on a parameter of one:

    @feature("from a time")
    def test_…

The names are short because they are read in a table. What each means is told beside it here.
"""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

SECTIONS: dict[str, dict[str, str]] = {
    "Produce": {
        "no compression": "with acks 0, 1 and all",
        "gzip": "with acks 0, 1 and all",
        "snappy": "with acks 0, 1 and all",
        "lz4": "with acks 0, 1 and all",
        "zstd": "with acks 0, 1 and all",
        "headers": "in order, repeated ones and null values too",
        "null keys and values": "told apart from empty ones",
        "large records": "just under 1 MB",
        "timestamps": "the producer's own, or the broker's if the topic says so",
        "automatic topics": "made when somebody first writes to them",
    },
    "Consume": {
        "from the beginning": "every record, in order",
        "from the end": "only what comes later",
        "from an offset": "that record first",
        "from a time": "the first record that is not older",
    },
    "Groups, classic protocol": {
        "classic: join and leave": "partitions are shared out, and taken over from who leaves",
        "classic: crash": "partitions of a vanished member move when its session times out",
        "classic: static member": "comes back within its session and keeps its partitions",
        "classic: cooperative": "partitions move one by one, the others are never taken away",
        "classic: commit and resume": "the next member goes on where the last one committed",
    },
    "Groups, KIP-848 protocol": {
        "KIP-848: join and leave": "partitions are shared out, and taken over from who leaves",
        "KIP-848: crash": "partitions of a vanished member move when its session times out",
        "KIP-848: static member": "comes back within its session and keeps its partitions",
        "KIP-848: commit and resume": "the next member goes on where the last one committed",
    },
    "Exactly once": {
        "idempotence": "each record once and in order, though connections break at random bytes",
        "commit": "readers of what is committed see all of it",
        "abort": "only readers of what is not committed see it",
        "open transaction": "holds back readers of what is committed",
        "fencing": "a second producer of the id aborts what the first left open",
        "zombie": "the first producer can write and commit no more",
        "transaction timeout": "the broker aborts what nobody ends",
        "offsets in a transaction": "count if it commits, and not if it aborts",
    },
    "Administration": {
        "create topics": "with partitions and configs",
        "describe topics": "their partitions and leaders",
        "list topics": "among them those just created",
        "delete topics": "and create them anew, empty",
        "add partitions": "to a topic with records",
        "describe configs": "values, and whether they are defaults",
        "alter configs": "set and back to the default",
        "list groups": "with their states",
        "describe groups": "members and their partitions",
        "delete groups": "empty ones; those in use are refused",
        "list offsets": "earliest, latest, by time",
        "group offsets": "set, listed and deleted by an administrator",
        "delete records": "up to an offset",
        "describe cluster": "its id, nodes and controller",
        "describe transactions": "who writes to a partition, in which transaction",
    },
    "Errors": {
        "unknown topic": "said so when automatic topics are not asked for",
        "too large": "a record above max.message.bytes",
        "out of range": "an offset that does not exist, without a reset policy",
        "wrong leader epoch": "fenced if older than the leader's, unknown if newer",
        "fenced member": "who takes over an instance id keeps its old owner from committing",
        "invalid topic name": "refused",
        "invalid config": "refused",
        "topic exists": "refused",
    },
}

FEATURES = [name for section in SECTIONS.values() for name in section]


def feature(*names: str) -> pytest.MarkDecorator:
    """Mark a test as showing these features of its client."""
    unknown = set(names).difference(FEATURES)
    assert not unknown, f"{sorted(unknown)} are not among the features"
    return pytest.mark.feature(*names)


def each_feature(names: list[str]) -> pytest.MarkDecorator:
    """Run a test once for each feature, given to it as `name`."""
    return pytest.mark.parametrize(
        "name", [pytest.param(name, marks=feature(name)) for name in names]
    )


def features_shown(module: ModuleType) -> set[str]:
    """Return what the tests of a client's module are marked with."""
    return {
        name
        for attribute, value in vars(module).items()
        if attribute.startswith("test_")
        for mark in _marks(value)
        for name in mark.args
    }


def _marks(test: Any) -> Iterator[pytest.Mark]:
    for mark in getattr(test, "pytestmark", []):
        if mark.name == "feature":
            yield mark
        if mark.name == "parametrize":
            for parameter in mark.args[1]:
                yield from (m for m in getattr(parameter, "marks", ()) if m.name == "feature")
