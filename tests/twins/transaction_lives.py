"""Producers with a transactional id, living their lives one request at a time against a slow disk.

A life does what a proper client does: it asks for an identity, begins a transaction, writes, commits
offsets, ends it, and asks again where no answer comes or the answer says so. When it is fenced, it
is over. What it knows of each transaction's outcome is kept in an `Attempt`.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from millpond.log.model import TopicPartition
from millpond.log.wire.api import Api
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.add_offsets_to_txn import ADD_OFFSETS_TO_TXN
from millpond.log.wire.messages.add_partitions_to_txn import ADD_PARTITIONS_TO_TXN
from millpond.log.wire.messages.end_txn import END_TXN
from millpond.log.wire.messages.init_producer_id import INIT_PRODUCER_ID
from millpond.log.wire.messages.produce import PRODUCE
from millpond.log.wire.messages.txn_offset_commit import TXN_OFFSET_COMMIT
from millpond.log.wire.schema import Message

from tests.twins.node_world import Asked
from tests.twins.slow_disk_world import SlowDiskWorld
from tests.twins.transactional_client import (
    COMMIT_VERSION,
    END_VERSION,
    NEW,
    OLD,
    PRODUCE_VERSION,
    Writer,
)

PARTITIONS = [TopicPartition("out", number) for number in range(3)]
OFFSET_OF = PARTITIONS[0]
"""The partition of which offsets are committed."""

AGAIN = {
    ErrorCode.CONCURRENT_TRANSACTIONS,
    ErrorCode.NOT_ENOUGH_REPLICAS,
    ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
}
OVER = {
    ErrorCode.PRODUCER_FENCED,
    ErrorCode.INVALID_PRODUCER_EPOCH,
    ErrorCode.INVALID_PRODUCER_ID_MAPPING,
}


@dataclass
class Attempt:
    """A transaction that was tried. Each record that it wrote names it."""

    number: int
    name: str
    written: list[tuple[TopicPartition, bytes]] = field(default_factory=list)
    offsets: bool = False
    commit_sent: bool = False
    outcome: bool | None = None
    """Committed or not; None as long as nobody knows."""


@dataclass(frozen=True)
class Request:
    """A request as it goes out, perhaps several times."""

    api: Api[Any, Any]
    version: int
    message: Message
    answered: Callable[[Any], ErrorCode]

    def send(self, world: SlowDiskWorld) -> Asked[Any]:
        return world.send(self.api, self.version, self.message)


class Life:
    """One instance of a producer."""

    def __init__(
        self, world: SlowDiskWorld, name: str, protocol: str, attempts: list[Attempt]
    ) -> None:
        self.world = world
        self.writer = Writer(world, name, timeout_ms=5000, protocol=protocol)
        self.attempts = attempts
        self.attempt: Attempt | None = None
        self.added: set[TopicPartition] = set()
        self.request: Request | None = None
        self.asked: Asked[Any] | None = None
        self.then: Callable[[], None] = lambda: None
        self.over = False
        self.copies: list[Request] = []
        """What may arrive once more, at any time, without doing harm."""
        self._ask_init(recover=False)

    # -- one step ------------------------------------------------------------------------------

    def step(self, chance: random.Random) -> None:
        """Do one thing: go on with the request under way, or make the next one."""
        if self.over:
            return
        if self.request is None:
            self._next(chance)
        elif self.asked is None and self.request.api is PRODUCE and chance.random() < 0.2:
            self._give_up()
        elif self.asked is None or chance.random() < 0.05:
            self.asked = self.request.send(self.world)  # again: no answer came
        elif self.asked.done:
            self._take_answer(self.asked.response)
        elif self.asked in self.world.held:
            self.world.sync(self.asked)

    def lose_connection(self) -> None:
        """The answer to what is under way will not come."""
        self.asked = None

    def _take_answer(self, response: Any) -> None:
        assert self.request is not None
        code = self.request.answered(response)
        if code in AGAIN:
            self.asked = None
            return
        if code in OVER:
            self._end(committed=False)
            self.over = True
            return
        if code is ErrorCode.INVALID_TXN_STATE and self.attempt and self.attempt.commit_sent:
            self.attempt.commit_sent = False  # it timed out before
            self._end(committed=False)
            self.over = True
            return
        assert code is ErrorCode.NONE, (code, self.request)
        self.request = self.asked = None
        self.then()

    def _end(self, *, committed: bool) -> None:
        attempt = self.attempt
        self.attempt = None
        self.added.clear()
        if attempt is not None and (committed or not attempt.commit_sent):
            attempt.outcome = committed

    def _give_up(self) -> None:
        """Abort, for nobody knows what became of a write; old clients then take a new epoch."""
        assert self.request is not None
        self.copies.append(self.request)
        self._ask_end(commit=False)
        if self.writer.protocol == OLD:
            self.then = self._begin_anew

    def _begin_anew(self) -> None:
        self._end(committed=False)
        self._ask_init(recover=True)

    # -- what it does --------------------------------------------------------------------------

    def _next(self, chance: random.Random) -> None:
        if self.attempt is None:
            if chance.random() < 0.05:
                self._ask_init(recover=True)
                return
            self.attempt = Attempt(len(self.attempts), self.writer.transactional_id)
            self.attempts.append(self.attempt)
        what = chance.choices(["write", "offsets", "commit", "abort", "init"], [8, 2, 4, 1, 0.2])
        match what:
            case ["write"]:
                self._ask_write(chance.choice(PARTITIONS))
            case ["offsets"]:
                self._ask_offsets()
            case ["commit"] | ["abort"] if not self._has_begun(self.attempt):
                pass
            case ["commit"]:
                self._ask_end(commit=True)
            case ["abort"]:
                self._ask_end(commit=False)
            case ["init"]:
                self._ask_init(recover=True)

    def _ask(
        self,
        api: Api[Any, Any],
        version: int,
        message: Message,
        answered: Callable[[Any], ErrorCode],
        then: Callable[[], None] = lambda: None,
    ) -> Request:
        self.request = Request(api, version, message, answered)
        self.then = then
        self.asked = self.request.send(self.world)
        return self.request

    def _ask_init(self, *, recover: bool) -> None:
        def answered(response: Any) -> ErrorCode:
            if not response.error_code:
                self.writer.become(response.producer_id, response.producer_epoch)
            return ErrorCode(response.error_code)

        message = self.writer.init_request(recover=recover)
        self._ask(INIT_PRODUCER_ID, 4, message, answered, lambda: self._end(committed=False))

    def _ask_write(self, partition: TopicPartition) -> None:
        if self.writer.protocol == OLD and partition not in self.added:
            self._ask_add(partition)
            return
        attempt = self.attempt
        assert attempt is not None
        value = b"%d.%d" % (attempt.number, len(attempt.written))

        def wrote() -> None:
            self.writer.wrote(partition, 1)
            attempt.written.append((partition, value))
            self.copies.append(copy)

        copy = self._ask(
            PRODUCE,
            PRODUCE_VERSION[self.writer.protocol],
            self.writer.write_request(partition, value),
            lambda it: ErrorCode(it.responses[0].partition_responses[0].error_code),
            wrote,
        )

    def _ask_add(self, partition: TopicPartition) -> None:
        self._ask(
            ADD_PARTITIONS_TO_TXN,
            3,
            self.writer.add_request(partition),
            lambda it: ErrorCode(
                it.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
            ),
            lambda: self.added.add(partition),
        )

    def _ask_offsets(self) -> None:
        group = self.writer.transactional_id
        if self.writer.protocol == OLD:
            self._ask(
                ADD_OFFSETS_TO_TXN,
                3,
                self.writer.add_offsets_request(group),
                lambda it: ErrorCode(it.error_code),
                self._ask_commit_offsets,
            )
        else:
            self._ask_commit_offsets()

    def _ask_commit_offsets(self) -> None:
        attempt = self.attempt
        assert attempt is not None

        def committed() -> None:
            attempt.offsets = True

        self._ask(
            TXN_OFFSET_COMMIT,
            COMMIT_VERSION[self.writer.protocol],
            self.writer.commit_offsets_request(
                self.writer.transactional_id, {OFFSET_OF: attempt.number}
            ),
            lambda it: ErrorCode(it.topics[0].partitions[0].error_code),
            committed,
        )

    def _has_begun(self, attempt: Attempt) -> bool:
        """Say whether there is a transaction to be ended, as far as a client knows."""
        return bool(attempt.written or attempt.offsets or self.added)

    def _ask_end(self, *, commit: bool) -> Request:
        attempt = self.attempt
        assert attempt is not None
        attempt.commit_sent = commit

        def answered(response: Any) -> ErrorCode:
            if response.producer_id >= 0:
                self.writer.become(response.producer_id, response.producer_epoch)
            return ErrorCode(response.error_code)

        request = self._ask(
            END_TXN,
            END_VERSION[self.writer.protocol],
            self.writer.end_request(commit=commit),
            answered,
            lambda: self._end(committed=commit),
        )
        if self.writer.protocol == NEW:
            self.copies.append(request)
        return request
