"""Errors of the state: each says where, and what to do about it."""

from ..log.errors import MillpondError
from ..log.model import Offset


class StateError(MillpondError):
    """A store could not do what was asked."""


class StoreFailed(StateError):
    """The disk refused: full, gone, not writable. Nothing is lost, the changelog has it all."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(
            f"the store at {path} failed: {problem}. "
            "Free the disk or repair it, then restart: what is missing replays from the changelog."
        )
        self.path = path
        self.problem = problem


class StoreCorrupt(StateError):
    """Bytes of the store's files no longer check out. Its changelog can rebuild it."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(
            f"the store at {path} is corrupt: {problem}. "
            "Delete that directory: the store is rebuilt from its changelog at the next start."
        )
        self.path = path
        self.problem = problem


class StoreLocked(StateError):
    """Another process, or another task of this one, has the store open."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(
            f"the store at {path} is in use: {problem}. "
            "Stop the other worker, or give each worker a data directory of its own."
        )
        self.path = path
        self.problem = problem


class StoreClosed(StateError):
    """The store was closed, for example because its partition moved to another worker."""

    def __init__(self, path: str) -> None:
        super().__init__(f"the store at {path} is closed: ask the task's present owner")
        self.path = path


class UnknownFormat(StateError):
    """Written by a version of Millpond that this one doesn't know: refuse rather than guess."""

    def __init__(self, where: str, found: object, known: object) -> None:
        super().__init__(
            f"{where} has format {found!r}, but this version of Millpond reads {known!r}. "
            "Run the version that wrote it, or a newer one."
        )
        self.where = where
        self.found = found
        self.known = known


class ChangelogTruncated(StateError):
    """The changelog lost records that no local store has: the state can't be made whole.

    Attributes:
        changelog, partition: where.
        needed: the first offset that is needed.
        start: the first offset that is left.
    """

    def __init__(self, changelog: str, partition: int, needed: Offset, start: Offset) -> None:
        super().__init__(
            f"{changelog}-{partition} begins at offset {start}, but {needed} is needed, and no local "
            "store reaches that far. Bring back the task's state directory or the topic's records; "
            "or accept the loss: delete the changelog topic, and the store starts empty."
        )
        self.changelog = changelog
        self.partition = partition
        self.needed = needed
        self.start = start


class ChangelogInvalid(StateError):
    """A record of a changelog that no store can have written."""

    def __init__(self, changelog: str, partition: int, offset: Offset, problem: str) -> None:
        super().__init__(
            f"{changelog}-{partition} offset {offset}: {problem}. Only Millpond may write a changelog: "
            "find who else does, and name the table or the topic differently."
        )
        self.changelog = changelog
        self.partition = partition
        self.offset = offset
        self.problem = problem


class ValueRefused(StateError):
    """A key or value that the store's codec can't encode; found when it was about to be committed."""

    def __init__(self, store: str, key: object, value: object, codec: str, problem: str) -> None:
        super().__init__(
            f"store {store!r}: {value!r} under key {key!r} does not fit {codec}: {problem}"
        )
        self.store = store
        self.key = key
        self.value = value


class ValueUnreadable(StateError):
    """Stored bytes that the store's codec can't decode: the type has changed since."""

    def __init__(self, store: str, key: bytes, data: bytes, codec: str, problem: str) -> None:
        super().__init__(
            f"store {store!r}: under key {key!r} are bytes that do not fit {codec}: {problem}; "
            f"they begin {data[:80]!r}. Make the new type able to read them, or reset the store."
        )
        self.store = store
        self.key = key
        self.data = data
