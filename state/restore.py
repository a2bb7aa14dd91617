"""How a store catches up with its changelog: the decisions, without any reading or writing.

`plan_restore` compares the position that was stored with what the log says now: go on from there,
start over, or give up because records are missing that nobody has. A `Restoration` then turns each
batch that was read into writes for the backend, deduplicated, and with the new position.

It is done when the *position* has reached the end that was captured at the start, not when a record
with a certain offset was seen: control records, compaction and aborted transactions take offsets and
never arrive, and waiting for such a record is how two other frameworks hang.

A copy of a store that somebody else writes (a standby) is never done: it goes on to later ends, with
`Restoration.extend_to`.

Sorted batches are written as they come (1M records of 32 stores: 3 s on two busy cores). Sorting a
whole changelog first and ingesting RocksDB files was only a fifth faster, holds all of it in memory,
and can't be resumed.
"""

from dataclasses import dataclass, replace
from uuid import UUID

from ..log.model import Fetched, Headers, Offset, Timestamp, TopicPartition
from .backend import Change
from .changelog import unknown_version
from .errors import ChangelogInvalid, ChangelogTruncated
from .meta import Position, StoredPosition, encode_position

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class ChangelogFacts:
    """What the log says about one changelog partition.

    Attributes:
        partition: which.
        topic_id: that of the topic that has the name now.
        start: the first offset it still has.
        end: its end, captured now; restoring stops there.
        epoch_end: the log's `epoch_end_offset` for the leader epoch of the position that was stored.
        expires: whether retention deletes old records on purpose (``cleanup.policy`` has delete).
        tombstone_retention_ms: how long a deletion's record is kept (``delete.retention.ms``).
    """

    partition: TopicPartition
    topic_id: UUID
    start: Offset
    end: Offset
    epoch_end: Offset = -1
    expires: bool = False
    tombstone_retention_ms: int = DAY_MS


@dataclass(frozen=True, slots=True)
class Plan:
    """Where to read from, and whether the store is wiped first, with the reason."""

    offset: Offset
    rebuild: bool
    reason: str


def plan_restore(stored: StoredPosition | None, facts: ChangelogFacts, now: Timestamp) -> Plan:
    """Say how a store that has come as far as `stored` catches up.

    Raises:
        ChangelogTruncated: it can't, for the records it would need are gone.
    """
    why_not = "the store is new" if stored is None else _why_not_resume(stored, facts, now)
    if stored is not None and why_not is None:
        return Plan(stored.position.offset, rebuild=False, reason="resumed")
    if facts.start > 0 and not facts.expires:
        topic, partition = facts.partition
        needed = 0 if stored is None else stored.position.offset
        raise ChangelogTruncated(topic, partition, needed, facts.start)
    return Plan(facts.start, rebuild=True, reason=why_not or "")


def _why_not_resume(stored: StoredPosition, facts: ChangelogFacts, now: Timestamp) -> str | None:
    topic_id, leader_epoch, offset = stored.position
    if topic_id != facts.topic_id:
        return "the changelog was made anew"
    if offset > facts.end:
        return f"the changelog ends at {facts.end}, before the store's {offset}"
    if leader_epoch >= 0 and offset > facts.epoch_end:
        return f"the changelog was truncated to {facts.epoch_end}, before the store's {offset}"
    if offset < facts.start:
        return f"the changelog begins at {facts.start}, after the store's {offset}"
    age_ms = now - stored.as_of
    if offset < facts.end and age_ms > facts.tombstone_retention_ms:
        # Records of deletions that the store has not seen may be gone: the keys would live on.
        return f"the store is {age_ms} ms behind, longer than deletions are kept"
    return None


class Restoration:
    """One store's way to the captured end of its changelog.

    Attributes:
        facts: what the log says; a later end replaces the one that was captured first.
        plan: what was made of it.
        offset: the next one to read.
        record_count: how many records have been read.
    """

    def __init__(
        self,
        facts: ChangelogFacts,
        plan: Plan,
        stored: StoredPosition | None,
        *,
        prefix: bytes,
        header: tuple[str, bytes | None],
        horizon_key: bytes,
        now: Timestamp,
    ) -> None:
        """Begin as planned.

        Args:
            facts: what the log says.
            plan: what was made of it.
            stored: the position that the plan was made for.
            prefix: what the store's keys begin with in the backend.
            header: the kind and version of the store's changelog records.
            horizon_key: records of keys below it are skipped; empty for none.
            now: the time when the facts were captured.
        """
        self.facts = facts
        self.plan = plan
        self.offset = plan.offset
        self.record_count = 0
        self._prefix = prefix
        self._header = header
        self._horizon_key = horizon_key
        self._captured_at = now
        if stored is None or plan.rebuild:
            self._as_of, self._leader_epoch = now, -1
        else:
            self._as_of, self._leader_epoch = stored.as_of, stored.position.leader_epoch

    @property
    def done(self) -> bool:
        """Return whether the captured end has been reached."""
        return self.offset >= self.facts.end

    @property
    def remaining(self) -> int:
        """Return how many offsets are left; some have no record."""
        return max(self.facts.end - self.offset, 0)

    def feed(self, fetched: Fetched) -> list[Change]:
        """Return the writes for what was read: each key once, sorted, the new position last.

        Raises:
            ChangelogInvalid: not a changelog record.
            UnknownFormat: a record of a version that this one doesn't know.
        """
        assert fetched.partition == self.facts.partition
        prefix, header, horizon_key = self._prefix, self._header, self._horizon_key
        changes: dict[bytes, bytes | None] = {}
        for record in fetched.records:
            key = record.key
            headers = record.headers
            if key is None or not headers or headers[0] != header:
                self._refuse(record.offset, key, headers)
            elif key >= horizon_key:
                changes[key] = record.value
        self.record_count += len(fetched.records)
        self.offset = max(self.offset, fetched.next_offset)
        if fetched.leader_epoch >= 0:
            self._leader_epoch = fetched.leader_epoch
        if self.done:
            self._as_of = self._captured_at
        writes: list[Change] = [(prefix + key, changes[key]) for key in sorted(changes)]
        writes.append(encode_position(self.facts.partition.topic, self.stored))
        return writes

    def extend_to(self, end: Offset, now: Timestamp, *, horizon_key: bytes) -> Change:
        """Go on to an end that was captured now; return the write of the position.

        The position is as of now if nothing is left to read: else a changelog in which nothing happens
        would seem to be one that was not read for long.
        """
        self.facts = replace(self.facts, end=max(end, self.facts.end))
        self._captured_at = now
        self._horizon_key = horizon_key
        if self.done:
            self._as_of = now
        return encode_position(self.facts.partition.topic, self.stored)

    @property
    def stored(self) -> StoredPosition:
        """Return the position that the store has reached."""
        return StoredPosition(
            Position(self.facts.topic_id, self._leader_epoch, self.offset), self._as_of
        )

    def _refuse(self, offset: Offset, key: bytes | None, headers: Headers) -> None:
        topic, partition = self.facts.partition
        if key is None:
            raise ChangelogInvalid(topic, partition, offset, "a record without a key")
        raise unknown_version(f"{topic}-{partition} offset {offset}", headers)
