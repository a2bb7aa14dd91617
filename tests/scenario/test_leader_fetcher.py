"""What leaders answer to fetches once in a year, and what they once did: told to a reader by a script."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import anyio
import pytest
from millpond.log.cluster import fetcher as fetchers
from millpond.log.cluster import leader_fetcher, offsets
from millpond.log.cluster.address import parse_address
from millpond.log.cluster.brokers import Brokers
from millpond.log.cluster.client import Client
from millpond.log.cluster.fetcher import Fetcher
from millpond.log.cluster.offsets import Offsets
from millpond.log.cluster.reader import ClusterReader
from millpond.log.errors import DamagedBatch, LogError, NotAuthorized, OffsetOutOfRange, Unreachable
from millpond.log.model import Fetched, Isolation
from millpond.log.records import encode_batch, stamp
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.fetch import (
    FETCH,
    FetchableTopicResponse,
    FetchRequest,
    FetchResponse,
    PartitionData,
)
from millpond.log.wire.messages.list_offsets import (
    LIST_OFFSETS,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from millpond.log.wire.messages.metadata import (
    METADATA,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from millpond.log.wire.schema import NO_UUID, Message
from millpond.tests.conformance.helpers import ORDERS, new
from millpond.tests.twins.scripted_broker import Answer, AnyApi, ScriptedBroker, in_turn

pytestmark = pytest.mark.anyio

TOPIC_ID = UUID(int=7)
EARLIEST_LOCAL = -4
NEVER_S = 1000.0
Patch = pytest.MonkeyPatch


class Cluster:
    """One broker that leads a partition, and fetches as it is told."""

    def __init__(
        self,
        fetch: Answer,
        *,
        topic_id: UUID = TOPIC_ID,
        earliest: int = 0,
        list_offsets: Answer | None = None,
        versions: dict[AnyApi, int] | None = None,
    ) -> None:
        self._topic_id = topic_id
        self._earliest = earliest
        answers = {
            METADATA: self._tell_metadata,
            FETCH: fetch,
            LIST_OFFSETS: list_offsets or self._tell_offsets,
        }
        self.broker = ScriptedBroker(answers, versions)

    def asked(self, kind: type[Message]) -> int:
        """Return how many requests of a kind there were."""
        return sum(isinstance(request, kind) for request in self.broker.asked)

    @asynccontextmanager
    async def reader(self, timeout_s: float = 5) -> AsyncIterator[ClusterReader]:
        """Read ORDERS from its beginning."""
        async with self.broker:
            address = parse_address(f"kafka://127.0.0.1:{self.broker.port}", {}, timeout_s)
            brokers = Brokers(address)
            self.offsets = Offsets(Client(address), brokers)
            async with anyio.create_task_group() as tasks:
                fetcher = Fetcher(brokers, Isolation.READ_COMMITTED, address.fetch_limits(), tasks)
                reader = ClusterReader(Isolation.READ_COMMITTED, lambda: fetcher, self.offsets)
                reader.assign({ORDERS: 0})
                yield reader
                tasks.cancel_scope.cancel()
            await brokers.close()

    def _tell_metadata(self, _request: Message) -> Message:
        partition = MetadataResponsePartition(
            partition_index=0, leader_id=1, leader_epoch=3, replica_nodes=[1], isr_nodes=[1]
        )
        topic = MetadataResponseTopic(
            name=ORDERS.topic, topic_id=self._topic_id, partitions=[partition]
        )
        here = MetadataResponseBroker(node_id=1, host="127.0.0.1", port=self.broker.port)
        return MetadataResponse(brokers=[here], topics=[topic])

    def _tell_offsets(self, request: ListOffsetsRequest) -> Message:
        is_local = request.topics[0].partitions[0].timestamp == EARLIEST_LOCAL
        one = ListOffsetsPartitionResponse(
            partition_index=0, offset=self._earliest if is_local else 99
        )
        topic = ListOffsetsTopicResponse(name=ORDERS.topic, partitions=[one])
        return ListOffsetsResponse(topics=[topic])


def of(
    values: int = 0,
    *,
    base: int = 0,
    end: int | None = None,
    code: int = 0,
    topic_id: UUID = TOPIC_ID,
    **others: int,
) -> FetchResponse:
    """Answer with a batch of so many values, or without one."""
    batch = (
        encode_batch([new(b"%d" % (base + i)) for i in range(values)]) if values else bytearray()
    )
    if values:
        stamp(batch, base, 3)
    end = base + values if end is None else end
    data = PartitionData(
        partition_index=0,
        error_code=code,
        high_watermark=end,
        last_stable_offset=end,
        aborted_transactions=[],
        records=bytes(batch),
        preferred_read_replica=others.pop("replica", -1),
    )
    topic = FetchableTopicResponse(topic=ORDERS.topic, topic_id=topic_id, partitions=[data])
    return FetchResponse(responses=[topic], **others)  # type: ignore[arg-type]


async def first_of(reader: ClusterReader) -> Fetched:
    [fetched] = await reader.read(wait_max_s=5)
    return fetched


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not holds():  # noqa: ASYNC110 - it is a list of requests that changes
            await anyio.sleep(0.005)


async def test_where_compaction_left_nothing_up_to_the_end_the_reader_is_there() -> None:
    cluster = Cluster(in_turn(of(end=10), None))
    async with cluster.reader() as reader:
        fetched = await first_of(reader)
        assert (list(fetched.records), fetched.next_offset, fetched.end_offset) == ([], 10, 10)


@pytest.mark.parametrize("answer", [of(end=10), of(end=10, replica=2)])
async def test_what_is_still_looked_for_in_tiered_storage_is_not_passed_over(
    answer: FetchResponse,
) -> None:
    """KIP-405: a broker answers with nothing while it fetches from afar, and later with records."""
    earliest = 0 if answer.responses[0].partitions[0].preferred_read_replica >= 0 else 8
    cluster = Cluster(in_turn(answer, answer, of(3, end=10), None), earliest=earliest)
    async with cluster.reader() as reader:
        assert [record.offset for record in (await first_of(reader)).records] == [0, 1, 2]


async def test_a_broker_that_cannot_say_what_is_local_is_not_believed_to_have_nothing() -> None:
    cluster = Cluster(in_turn(of(end=10), of(3, end=10), None), versions={LIST_OFFSETS: 7})
    async with cluster.reader() as reader:
        assert (await first_of(reader)).next_offset == 3
        assert cluster.asked(ListOffsetsRequest) == 0


async def test_topics_without_ids_are_asked_for_by_name() -> None:
    """As of brokers of Kafka 3 with an older inter.broker.protocol.version."""
    cluster = Cluster(in_turn(of(3, topic_id=NO_UUID), None), topic_id=NO_UUID)
    async with cluster.reader() as reader:
        assert (await first_of(reader)).next_offset == 3


@pytest.mark.parametrize("version", [4, 12, 13])
async def test_older_brokers(version: int) -> None:
    cluster = Cluster(in_turn(of(3), None), versions={FETCH: version})
    async with cluster.reader() as reader:
        assert (await first_of(reader)).next_offset == 3


async def test_a_broker_that_is_too_old_is_told() -> None:
    async with Cluster(in_turn(None), versions={FETCH: 3}).reader() as reader:
        with pytest.raises(LogError, match=r"can't be asked Fetch: it has no such request"):
            await reader.read(wait_max_s=5)


@pytest.mark.parametrize(
    "refused",
    [
        of(code=ErrorCode.NOT_LEADER_OR_FOLLOWER),
        of(code=ErrorCode.FENCED_LEADER_EPOCH),
        of(code=ErrorCode.OFFSET_NOT_AVAILABLE),
        of(error_code=ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR),
        FetchResponse(responses=[]),
    ],
)
async def test_what_passes_by_itself_is_waited_for(refused: FetchResponse) -> None:
    async with Cluster(in_turn(refused, refused, of(3), None)).reader() as reader:
        assert (await first_of(reader)).next_offset == 3


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        (of(code=ErrorCode.TOPIC_AUTHORIZATION_FAILED), NotAuthorized),
        (of(code=ErrorCode.CORRUPT_MESSAGE), DamagedBatch),
        (of(code=ErrorCode.OFFSET_OUT_OF_RANGE), OffsetOutOfRange),
        (of(error_code=ErrorCode.CLUSTER_AUTHORIZATION_FAILED), NotAuthorized),
    ],
)
async def test_what_does_not_is_told(refused: FetchResponse, error: type[LogError]) -> None:
    async with Cluster(in_turn(refused)).reader() as reader:
        for _ in range(2):
            with pytest.raises(error):
                await reader.read(wait_max_s=5)


async def test_between_attempts_there_is_a_pause(monkeypatch: Patch) -> None:
    """A leader that does not know yet that it is one would be asked thousands of times a second."""
    monkeypatch.setattr(fetchers, "RETRY_PAUSE_S", NEVER_S)
    cluster = Cluster(in_turn(of(code=ErrorCode.NOT_LEADER_OR_FOLLOWER)))
    async with cluster.reader() as reader:
        assert await reader.read(wait_max_s=0.3) == []
        assert cluster.asked(FetchRequest) == 1


async def test_a_client_that_is_throttled_asks_no_more_for_so_long() -> None:
    cluster = Cluster(in_turn(of(3, throttle_time_ms=1_000_000)))
    async with cluster.reader() as reader:
        assert (await first_of(reader)).next_offset == 3
        assert await reader.read(wait_max_s=0.2) == []
        assert cluster.asked(FetchRequest) == 1


async def test_a_broker_that_hangs_is_connected_to_anew(monkeypatch: Patch) -> None:
    monkeypatch.setattr(leader_fetcher, "ANSWER_S", -0.3)  # of the 0.5 s that it may wait
    cluster = Cluster(in_turn(None, None, of(3), None))
    async with cluster.reader() as reader:
        assert (await first_of(reader)).next_offset == 3


async def test_a_leader_that_never_knows_its_offsets_is_given_up_at_the_deadline(
    monkeypatch: Patch,
) -> None:
    refused = ListOffsetsResponse(
        topics=[
            ListOffsetsTopicResponse(
                name=ORDERS.topic,
                partitions=[
                    ListOffsetsPartitionResponse(
                        partition_index=0, error_code=ErrorCode.NOT_LEADER_OR_FOLLOWER
                    )
                ],
            )
        ]
    )
    for answer in (refused, ListOffsetsResponse(topics=[])):
        cluster = Cluster(in_turn(None), list_offsets=in_turn(answer))
        async with cluster.reader(timeout_s=0.2):
            with pytest.raises(Unreachable, match="orders-0"):
                await cluster.offsets.starts([ORDERS])
            attempts_max = 1 + 0.2 / offsets.RETRY_PAUSE_S
            assert cluster.asked(ListOffsetsRequest) <= attempts_max + 1
