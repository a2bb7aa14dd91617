"""One transaction on a cluster: its steps, each asked for until it is answered, or the time is over.

A broker that goes away, a partition that moves to another one, a coordinator that still completes the
transaction before: all of that passes, and the same request is sent again. Batches carry sequence numbers, so
one that has been written although nobody heard of it is not written twice.

A request that remains unanswered may be carried out later, when another transaction has begun.
`is_uncertain` says that this may be so; then what follows needs another epoch.

Which step comes when is chosen in `transactions.py`.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import anyio

from ..errors import MillpondError, UnknownTopic, Unreachable
from ..model import CommittedOffset, Place, TopicPartition
from ..wire.api import Api, RequestT, ResponseT
from ..wire.error_codes import RETRIABLE
from ..wire.messages.add_offsets_to_txn import ADD_OFFSETS_TO_TXN, AddOffsetsToTxnRequest
from ..wire.messages.api_versions import API_VERSIONS, ApiVersionsRequest
from ..wire.messages.end_txn import EndTxnRequest
from ..wire.messages.init_producer_id import INIT_PRODUCER_ID, InitProducerIdRequest
from ..wire.messages.produce import PartitionProduceResponse
from .brokers import Leader, Unanswered
from .coordinators import GROUP, TRANSACTIONAL_ID, Coordinators
from .failures import refusal
from .outgoing import Batch, Identity, Outgoing
from .transaction_requests import (
    ADD_PARTITIONS,
    ELSEWHERE,
    MISSING,
    OPEN_OUTCOME,
    Way,
    add_partitions,
    code_of,
    codes_of_offsets,
    codes_of_partitions,
    commit_offsets,
    decisive,
    produce,
)

T = TypeVar("T")

REQUEST_S: Final = 10.0
"""How long an answer is waited for, until the request is sent again over another connection."""

REQUEST_BYTES: Final = 8_000_000
"""As much goes into one Produce, unless it has but one batch."""

PAUSE_S: Final = 0.001
PAUSE_S_MAX: Final = 0.1
"""Between attempts, doubling. What passes soonest is the end of the transaction before."""

SPREADING_S: Final = 2.0
"""How long a topic that has just been made may be unknown to a broker."""


class Refused(Exception):
    """A request was refused, or could not be made in time.

    Attributes:
        cause: what that is to us.
        code: what the broker calls it; 0 if it was none that said so.
    """

    def __init__(self, cause: MillpondError, code: int = 0) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.code = code


class Transaction:
    """What is asked for in one transaction.

    Attributes:
        identity: who asks.
        deadline: by the monotonic clock.
        is_uncertain: of some request it is not known whether it was, or will be, carried out.
    """

    def __init__(
        self,
        transactional_id: str,
        identity: Identity,
        way: Way,
        coordinators: Coordinators,
        deadline: float,
    ) -> None:
        self.identity = identity
        self.deadline = deadline
        self.is_uncertain = False
        self._id = transactional_id
        self._way = way
        self._coordinators = coordinators

    async def features(self) -> dict[str, int]:
        """Return which versions of which features are in force on the cluster (KIP-584).

        Raises:
            Refused: as do all steps.
        """
        answer = await self._ask(
            TRANSACTIONAL_ID,
            self._id,
            API_VERSIONS,
            ApiVersionsRequest(client_software_name="millpond", client_software_version="1"),
            code_of("the versions of requests"),
        )
        return {each.name: each.max_version_level for each in answer.finalized_features}

    async def init(self, transaction_timeout_ms: int) -> Identity:
        """Become the owner of the transactional id; or, being it already, begin anew in another epoch (KIP-360).

        Raises:
            Refused: as do all steps.
        """
        answer = await self._ask(
            TRANSACTIONAL_ID,
            self._id,
            INIT_PRODUCER_ID,
            InitProducerIdRequest(
                transactional_id=self._id,
                transaction_timeout_ms=transaction_timeout_ms,
                producer_id=self.identity.producer_id,
                producer_epoch=self.identity.producer_epoch,
            ),
            code_of(f"transactional id {self._id!r}"),
        )
        return Identity(answer.producer_id, answer.producer_epoch)

    async def add(self, groups: Iterable[str], partitions: Collection[TopicPartition]) -> None:
        """Tell the coordinator what is to come: one after the other, since it refuses what comes meanwhile."""
        for group in groups:
            await self._ask(
                TRANSACTIONAL_ID,
                self._id,
                ADD_OFFSETS_TO_TXN,
                AddOffsetsToTxnRequest(
                    transactional_id=self._id,
                    producer_id=self.identity.producer_id,
                    producer_epoch=self.identity.producer_epoch,
                    group_id=group,
                ),
                code_of(f"group {group!r}"),
            )
        if partitions:
            await self._ask(
                TRANSACTIONAL_ID,
                self._id,
                ADD_PARTITIONS,
                add_partitions(self._id, self.identity, partitions),
                codes_of_partitions,
            )

    async def commit_offsets(
        self, place: Place, offsets: Mapping[TopicPartition, CommittedOffset]
    ) -> None:
        """Commit offsets of a group, if the transaction is committed; its coordinator checks the place."""
        await self._ask(
            GROUP,
            place.group,
            self._way.commit_offsets,
            commit_offsets(self._id, self.identity, place, offsets),
            codes_of_offsets,
        )

    async def write(self, outgoing: Collection[Outgoing]) -> None:
        """Write all batches, to all leaders at the same time."""
        while any(each.next is not None for each in outgoing):
            await self._insist(partial(self._write_some, outgoing))

    async def end(self, *, commit: bool) -> Identity:
        """Decide; return as whom to go on."""
        answer = await self._ask(
            TRANSACTIONAL_ID,
            self._id,
            self._way.end,
            EndTxnRequest(
                transactional_id=self._id,
                producer_id=self.identity.producer_id,
                producer_epoch=self.identity.producer_epoch,
                committed=commit,
            ),
            code_of(f"transactional id {self._id!r}"),
        )
        if self._way.own_epochs:
            return Identity(answer.producer_id, answer.producer_epoch)
        return self.identity

    # -- records -------------------------------------------------------------------------------

    async def _write_some(self, outgoing: Collection[Outgoing], wait_s: float) -> None:
        """Write of what is left as much as goes into one request to each leader."""
        requests: dict[int, list[tuple[Outgoing, Batch, Leader]]] = {}
        sizes: dict[int, int] = {}
        for each in outgoing:
            batch = each.next
            if batch is None:
                continue
            leader = await self._coordinators.brokers.leader(each.partition)
            size = sizes.get(leader.node_id, 0) + len(batch.data)
            if size <= REQUEST_BYTES or leader.node_id not in requests:
                requests.setdefault(leader.node_id, []).append((each, batch, leader))
                sizes[leader.node_id] = size
        refused: list[Refused | MillpondError] = []

        async def ask(node_id: int, batches: list[tuple[Outgoing, Batch, Leader]]) -> None:
            try:
                await self._produce(node_id, batches, wait_s)
            except (Refused, MillpondError) as error:
                self._note(error)
                refused.append(error)

        await together([partial(ask, *one) for one in requests.items()])
        if refused:
            raise max(refused, key=lambda error: not _passes(error))

    async def _produce(
        self, node_id: int, batches: list[tuple[Outgoing, Batch, Leader]], wait_s: float
    ) -> None:
        request = produce(self._id, {each.partition: batch for each, batch, _ in batches}, wait_s)
        try:
            answer = await self._coordinators.brokers.ask(
                node_id, self._way.produce, request, wait_s
            )
        except Unreachable:
            self._forget(batches)
            raise
        found = {
            TopicPartition(topic.name, each.index): each
            for topic in answer.responses
            for each in topic.partition_responses
        }
        refused = {}
        for each, _, leader in batches:
            answered = found[each.partition]
            if answered.error_code:
                refused[each.partition] = answered.error_code
            else:
                each.written(answered.base_offset, leader.epoch)
        if (one := decisive(refused)) is not None:
            self._forget([batch for batch in batches if batch[0].partition in refused])
            raise _refused(one[0], one[1], found[one[0]])

    def _forget(self, batches: Iterable[tuple[Outgoing, Batch, Leader]]) -> None:
        for each, _, leader in batches:
            self._coordinators.brokers.forget(each.partition, leader)

    # -- asking --------------------------------------------------------------------------------

    async def _ask(
        self,
        kind: int,
        key: str,
        api: Api[RequestT, ResponseT],
        request: RequestT,
        codes: Callable[[ResponseT], Mapping[T, int]],
    ) -> ResponseT:
        """Ask a coordinator until it does as it is told."""

        async def attempt(wait_s: float) -> ResponseT:
            answer = await self._coordinators.ask(kind, key, api, request, wait_s)
            refused = decisive(codes(answer))
            if refused is None:
                return answer
            subject, code = refused
            if code in ELSEWHERE:
                self._coordinators.forget(kind, key)
            raise Refused(refusal(code, subject), code)

        return await self._insist(attempt)

    async def _insist(self, attempt: Callable[[float], Awaitable[T]]) -> T:
        """Attempt something until it succeeds, is refused for good, or the time is over."""
        pause_s = PAUSE_S
        spread_at = time.monotonic() + SPREADING_S
        while True:
            try:
                return await attempt(min(max(self.deadline - time.monotonic(), 0.1), REQUEST_S))
            except (Refused, MillpondError) as error:
                self._note(error)
                failed = error if isinstance(error, Refused) else Refused(error)
                if not _passes(error) or (_misses(failed) and time.monotonic() > spread_at):
                    raise failed from None
            if time.monotonic() + pause_s > self.deadline:
                cause = failed.cause
                late = cause if isinstance(cause, Unreachable) else Unreachable(str(cause))
                raise Refused(late) from None
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    def _note(self, error: Refused | MillpondError) -> None:
        if isinstance(error, Unanswered) or (
            isinstance(error, Refused) and error.code in OPEN_OUTCOME
        ):
            self.is_uncertain = True


def _passes(error: Refused | MillpondError) -> bool:
    """Say whether the same request may be answered otherwise when it is sent again."""
    if isinstance(error, Refused):
        return error.code in RETRIABLE
    return isinstance(error, Unreachable | UnknownTopic)


def _misses(refused: Refused) -> bool:
    return refused.code in MISSING or isinstance(refused.cause, UnknownTopic)


def _refused(partition: TopicPartition, code: int, answered: PartitionProduceResponse) -> Refused:
    """Return why records were refused, in the broker's words if it has some."""
    details = [each.batch_index_error_message for each in answered.record_errors]
    said = next((text for text in (answered.error_message, *details) if text), None)
    return Refused(refusal(code, partition if said is None else f"{partition}: {said}"), code)


async def together(calls: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Do several things at once; if one fails, cancel the others and raise its error."""
    if len(calls) == 1:
        await calls[0]()
        return
    failures: list[Exception] = []

    async def do(call: Callable[[], Awaitable[None]]) -> None:
        try:
            await call()
        except Exception as error:  # noqa: BLE001 - raised below
            failures.append(error)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for call in calls:
            tasks.start_soon(do, call)
    if failures:
        raise failures[0]
