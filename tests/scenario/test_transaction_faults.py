"""Transactions over connections that break anywhere, and past a coordinator that has given one up.

Both ways of the protocol are held to it: with an epoch for each transaction, and with one for all of them.
"""

from collections.abc import AsyncIterator, Collection, Iterator
from typing import Any

import anyio
import pytest
from millpond.log.cluster import cluster_log, transactions
from millpond.log.cluster.brokers import Brokers
from millpond.log.cluster.cluster_log import ClusterLog
from millpond.log.cluster.outgoing import Outgoing
from millpond.log.cluster.transaction import Transaction
from millpond.log.errors import Fenced
from millpond.log.model import CommittedOffset, TopicPartition
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.produce import PRODUCE
from millpond.tests.clients.faulty_network import FaultyNetwork
from millpond.tests.conformance.helpers import ORDERS, OTHER, make_topic, new, some, values
from millpond.tests.twins.running_broker import RunningBroker
from msgspec.structs import replace

pytestmark = pytest.mark.anyio

SETTINGS = {
    "log.retention.ms": "-1",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "100",
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with RunningBroker(settings=SETTINGS) as broker:
        yield f"127.0.0.1:{broker.port}"


@pytest.fixture(params=["own epochs", "epochs kept"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "epochs kept":
        monkeypatch.setattr(transactions, "OWN_EPOCHS_SINCE", 99)
    return str(request.param)


@pytest.fixture
async def log(address: str) -> AsyncIterator[ClusterLog]:
    async with ClusterLog.open(f"kafka://{address}", timeout_s=10) as log:
        await log.delete_topics(await log.describe_topics())
        await log.delete_groups(await log.groups())
        yield log


@pytest.mark.parametrize("seed", range(2))
async def test_connections_that_break_anywhere_lose_and_double_nothing(
    log: ClusterLog, address: str, seed: int
) -> None:
    await make_topic(log)
    count = 40
    network = FaultyNetwork(address, seed=seed, cuts_max=50, bytes_between_cuts=1100)
    with network:
        async with ClusterLog.open(f"kafka://{network.address}") as faulty:
            producer = await faulty.transactional_producer("t")
            for number in range(count):
                appended = await producer.commit(
                    {ORDERS: [new(b"%d" % number)], OTHER: some(3, f"{number}.")},
                    group="g",
                    offsets={ORDERS: CommittedOffset(number + 1)},
                )
                assert appended[OTHER].next_offset - appended[OTHER].base_offset == 3
    assert network.cuts >= 4
    assert await values(log) == [b"%d" % number for number in range(count)]
    assert await values(log, OTHER) == [b"%d.%d" % (n, i) for n in range(count) for i in range(3)]
    assert await log.committed_offsets("g") == {ORDERS: CommittedOffset(count)}


async def test_what_was_written_although_the_answer_says_otherwise_is_there_once(
    log: ClusterLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches keep their numbers, so a broker takes one for the other; the others are not sent again."""
    await make_topic(log)
    ask = Brokers.ask
    refused = []

    async def ask_in_vain(
        brokers: Brokers, node_id: int, api: Any, request: Any, wait_s: float
    ) -> Any:
        answer = await ask(brokers, node_id, api, request, wait_s)
        if api.key != PRODUCE.key or len(refused) == 2:
            return answer
        (topic,) = answer.responses
        *others, last = topic.partition_responses
        refused.append(last.index)
        late = replace(last, error_code=ErrorCode.REQUEST_TIMED_OUT, base_offset=-1)
        return replace(answer, responses=[replace(topic, partition_responses=[*others, late])])

    monkeypatch.setattr(Brokers, "ask", ask_in_vain)
    producer = await log.transactional_producer("t")
    for prefix in ("v", "w"):
        records = {ORDERS: some(3, prefix), OTHER: some(3, prefix)}
        appended = await producer.commit(records, group="g", offsets={})
    assert refused == [1, 1]
    assert (appended[OTHER].base_offset, appended[OTHER].next_offset) == (4, 7)
    for partition in (ORDERS, OTHER):
        assert await values(log, partition) == [b"v0", b"v1", b"v2", b"w0", b"w1", b"w2"]


async def test_a_transaction_that_was_open_for_too_long_is_done_again(
    log: ClusterLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_topic(log)
    write = Transaction.write
    pauses = [0.0, 1.0]

    async def write_slowly(one: Transaction, outgoing: Collection[Outgoing]) -> None:
        await write(one, outgoing)
        if pauses:
            await anyio.sleep(pauses.pop(0))

    monkeypatch.setattr(Transaction, "write", write_slowly)
    monkeypatch.setattr(cluster_log, "TRANSACTION_TIMEOUT_MS", 300)
    producer = await log.transactional_producer("t")
    for number in range(3):
        offsets = {OTHER: CommittedOffset(number)}
        await producer.commit({ORDERS: [new(b"%d" % number)]}, group="g", offsets=offsets)
    assert await values(log) == [b"0", b"1", b"2"]
    assert await log.committed_offsets("g") == {OTHER: CommittedOffset(2)}


async def test_who_is_replaced_while_its_transaction_is_given_up_is_fenced(
    log: ClusterLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_topic(log)
    zombie = await log.transactional_producer("t")
    write = Transaction.write

    async def write_and_be_replaced(one: Transaction, outgoing: Collection[Outgoing]) -> None:
        await write(one, outgoing)
        monkeypatch.setattr(Transaction, "write", write)
        await log.transactional_producer("t")

    monkeypatch.setattr(Transaction, "write", write_and_be_replaced)
    for _ in range(2):
        with pytest.raises(Fenced, match="newer producer"):
            await zombie.commit({ORDERS: some(1)}, group="g", offsets={OTHER: CommittedOffset(1)})
    assert await values(log) == []
    assert await log.committed_offsets("g") == {}


async def test_a_topic_that_was_made_anew_is_written_to(log: ClusterLog) -> None:
    await make_topic(log)
    producer = await log.transactional_producer("t")
    for prefix in ("v", "w"):
        appended = await producer.commit({ORDERS: some(2, prefix)}, group="g", offsets={})
        assert appended[ORDERS].base_offset == 0
        assert await values(log) == [f"{prefix}{n}".encode() for n in range(2)]
        await log.delete_topics(["orders"])
        await make_topic(log)


async def test_many_partitions_and_much_data_in_one_transaction(log: ClusterLog) -> None:
    await make_topic(log, partitions=40)
    producer = await log.transactional_producer("t")
    partitions = [TopicPartition("orders", number) for number in range(40)]
    big = [new(b"x" * 100_000)] * 12
    appended = await producer.commit(dict.fromkeys(partitions, big), group="g", offsets={})
    assert {each.next_offset - each.base_offset for each in appended.values()} == {12}
    ends = await log.end_offsets(partitions)
    assert set(ends.values()) == {13}, "with a marker"
