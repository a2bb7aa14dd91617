"""Tasks of a worker that share transactions, which its place in a group fences."""

from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from millpond.log.cluster.cluster_log import ClusterLog
from millpond.log.cluster.membership import ClusterMembership
from millpond.log.cluster.outgoing import Outgoing
from millpond.log.cluster.transaction import Transaction
from millpond.log.cluster.worker_producer import Undecided, WorkerProducer
from millpond.log.errors import Fenced, InvalidRecord, RecordTooLarge, UnknownTopic
from millpond.log.interface import Membership
from millpond.log.model import CommittedOffset, Isolation, Place, TopicPartition
from millpond.log.wire.messages.leave_group import LEAVE_GROUP, LeaveGroupRequest, MemberIdentity
from millpond.tests.clients.brokers import KAFKA_SETTINGS, apache_kafka
from millpond.tests.clients.java_runtime import JARS, needs_jars
from millpond.tests.conformance.helpers import (
    ORDERS,
    OTHER,
    eventually,
    has_no_open_transaction,
    make_topic,
    new,
    some,
    values,
)
from millpond.tests.twins.broker_process import BrokerProcess
from millpond.tests.twins.raw_client import RawClient
from millpond.tests.twins.running_broker import RunningBroker

pytestmark = pytest.mark.anyio

WORKERS = "shop"
"""The group that shares out tasks."""

TASKS = "shop.main"
"""The group in which tasks commit."""

SETTINGS = {"log.retention.ms": "-1", "group.initial.rebalance.delay.ms": "0"}


@pytest.fixture(
    scope="module",
    params=["millpond", pytest.param("kafka", marks=[pytest.mark.clients, needs_jars()])],
)
def address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    if request.param == "kafka":
        assert KAFKA_SETTINGS["group.initial.rebalance.delay.ms"] == 0
        with apache_kafka(tmp_path_factory.mktemp("kafka"), JARS) as kafka:
            yield kafka.address
    else:
        with RunningBroker(settings=SETTINGS) as broker:
            yield f"127.0.0.1:{broker.port}"


@pytest.fixture
async def log(address: str) -> AsyncIterator[ClusterLog]:
    async with ClusterLog.open(f"kafka://{address}", timeout_s=10) as log:
        await log.delete_topics(await log.describe_topics())
        await log.delete_groups(await log.groups())
        yield log


@pytest.fixture
async def member(log: ClusterLog) -> AsyncIterator[ClusterMembership]:
    async with joined(log) as member:
        yield member


@asynccontextmanager
async def joined(
    log: ClusterLog, instance_id: str | None = None
) -> AsyncIterator[ClusterMembership]:
    share_out = dict[str, bytes].fromkeys
    async with log.membership(
        WORKERS, lambda told: share_out(told, b""), instance_id=instance_id
    ) as member:
        await member.join(b"")
        yield member


class Stopped:
    """What a process that was stopped knows of its membership: what was so before."""

    def __init__(self, member: Membership) -> None:
        self.place = member.place
        self.asked_for_next = 0

    async def next_place(self, after: Place) -> Place | None:
        self.asked_for_next += 1
        return await anyio.sleep_forever()  # type: ignore[func-returns-value]


class Late(Stopped):
    """Learns of its place in the next generation only when it is asked for it."""

    def __init__(self, member: Membership) -> None:
        super().__init__(member)
        self._member = member

    async def next_place(self, after: Place) -> Place | None:
        self.asked_for_next += 1
        self.place = await self._member.next_place(after)
        return self.place


async def rebalance(log: ClusterLog, member: ClusterMembership) -> None:
    """Have the group go on to later generations: a second member comes and goes."""
    second_member = log.membership(WORKERS, dict[str, bytes].fromkeys)
    async with second_member as second, anyio.create_task_group() as tasks:
        tasks.start_soon(second.join, b"")
        while second.place is None:
            await member.join(b"")
    await member.join(b"")


def expel(address: str, place: Place) -> None:
    """Remove a member from its group, as an administrator does; a static one by its instance."""
    host, _, port = address.rpartition(":")
    with RawClient(host, int(port)) as client:
        who = (
            MemberIdentity(member_id=place.member_id)
            if place.instance_id is None
            else MemberIdentity(member_id="", group_instance_id=place.instance_id)
        )
        request = LeaveGroupRequest(group_id=place.group, members=[who])
        assert client.ask(LEAVE_GROUP, 3, request).members[0].error_code == 0


async def commit_numbers(
    producer: WorkerProducer, task: TopicPartition, numbers: range, out: TopicPartition = OTHER
) -> None:
    for number in numbers:
        appended = await producer.commit(
            {task: [new(b"%d" % number)], out: [new(b"%d.%d" % (task.partition, number))]},
            group=TASKS,
            offsets={task: CommittedOffset(number + 1)},
        )
        assert appended[task].next_offset - appended[task].base_offset == 1


async def test_tasks_share_transactions_and_each_commit_is_there_once(
    log: ClusterLog, member: ClusterMembership
) -> None:
    await make_topic(log, partitions=8)
    await make_topic(log, "totals", 1)
    totals = TopicPartition("totals", 0)
    producer = await log.worker_producer("worker", member)
    tasks = [TopicPartition("orders", number) for number in range(8)]
    async with anyio.create_task_group() as group:
        for task in tasks:
            group.start_soon(commit_numbers, producer, task, range(6), totals)
    for task in tasks:
        assert await values(log, task) == [b"%d" % number for number in range(6)]
    found = await values(log, totals)
    expected = [b"%d.%d" % (task.partition, number) for task in tasks for number in range(6)]
    assert sorted(value or b"" for value in found) == sorted(expected)
    assert await log.committed_offsets(TASKS) == dict.fromkeys(tasks, CommittedOffset(6))
    markers = (await log.end_offsets([totals]))[totals] - len(expected)
    assert 6 <= markers < 24, "that many transactions for 48 commits"


async def test_what_is_appended_is_told_to_each_task(
    log: ClusterLog, member: ClusterMembership
) -> None:
    await make_topic(log, partitions=8)
    producer = await log.worker_producer("worker", member)
    told = {}

    async def commit(task: TopicPartition) -> None:
        told[task] = await producer.commit(
            {task: some(task.partition + 1)}, group=TASKS, offsets={task: CommittedOffset(1)}
        )

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(commit, TopicPartition("orders", number))
    for task, appended in told.items():
        assert appended.keys() == {task}
        assert (appended[task].base_offset, appended[task].next_offset) == (0, task.partition + 1)


async def test_a_commit_of_records_alone_or_of_offsets_alone_or_of_nothing(
    log: ClusterLog, member: ClusterMembership
) -> None:
    await make_topic(log)
    producer = await log.worker_producer("worker", member)
    await producer.commit({ORDERS: some(1)}, group=TASKS, offsets={})
    await producer.commit({}, group=TASKS, offsets={OTHER: CommittedOffset(3, 0, "so far")})
    assert await producer.commit({ORDERS: []}, group=TASKS, offsets={}) == {}
    assert await values(log) == [b"v0"]
    assert await log.committed_offsets(TASKS) == {OTHER: CommittedOffset(3, 0, "so far")}


@pytest.mark.parametrize("offsets", [{OTHER: CommittedOffset(99)}, {}], ids=["offsets", "records"])
async def test_a_zombie_is_refused_for_good_and_leaves_nothing(
    log: ClusterLog,
    member: ClusterMembership,
    address: str,
    offsets: dict[TopicPartition, CommittedOffset],
) -> None:
    await make_topic(log)
    zombie = Stopped(member)
    producer = await log.worker_producer("worker", zombie)
    await producer.commit({ORDERS: some(1)}, group=TASKS, offsets={OTHER: CommittedOffset(1)})
    assert zombie.place is not None
    await anyio.to_thread.run_sync(expel, address, zombie.place)
    for _ in range(2):
        with pytest.raises(Fenced, match="no member any more"):
            await producer.commit({ORDERS: some(1, "stray")}, group=TASKS, offsets=offsets)
    await eventually(partial(has_no_open_transaction, log, ORDERS))
    assert await values(log) == [b"v0"]
    assert await log.committed_offsets(TASKS) == {OTHER: CommittedOffset(1)}


async def test_a_zombie_that_loses_its_place_while_it_writes_is_refused(
    log: ClusterLog, member: ClusterMembership, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fence comes last: who looks for pending offsets after that finds those of all before it."""
    await make_topic(log)
    zombie = Stopped(member)
    producer = await log.worker_producer("worker", zombie)
    place = zombie.place
    assert place is not None

    async def write_and_be_expelled(one: Transaction, outgoing: Collection[Outgoing]) -> None:
        await write(one, outgoing)
        await anyio.to_thread.run_sync(expel, address, place)

    write = Transaction.write
    monkeypatch.setattr(Transaction, "write", write_and_be_expelled)
    with pytest.raises(Fenced, match="no member any more"):
        await producer.commit({ORDERS: some(1)}, group=TASKS, offsets={OTHER: CommittedOffset(1)})
    assert await log.committed_offsets(TASKS, [OTHER]) == {}


async def test_whoever_takes_an_instances_place_fences_the_one_before(
    log: ClusterLog, address: str
) -> None:
    await make_topic(log)
    async with joined(log, "left") as before:
        producer = await log.worker_producer("worker", Stopped(before))
        await producer.commit({ORDERS: some(1)}, group=TASKS, offsets={})
        async with joined(log, "left") as after:
            with pytest.raises(Fenced, match="no member any more"):
                await producer.commit({ORDERS: some(1, "stray")}, group=TASKS, offsets={})
            successor = await log.worker_producer("worker", after)
            await successor.commit({ORDERS: some(1, "w")}, group=TASKS, offsets={})
            assert await values(log) == [b"v0", b"w0"]
            assert after.place is not None
            await anyio.to_thread.run_sync(expel, address, after.place)


async def test_who_is_expelled_and_joins_anew_needs_a_new_producer(
    log: ClusterLog, address: str
) -> None:
    await make_topic(log)
    async with joined(log) as member:
        producer = await log.worker_producer("worker", member)
        before = member.place
        assert before is not None
        await anyio.to_thread.run_sync(expel, address, before)
        assert await member.next_place(before) is None
        await member.join(b"")
        assert member.place is not None
        with pytest.raises(Fenced, match="joined anew"):
            await producer.commit({ORDERS: some(1)}, group=TASKS, offsets={})
        producer = await log.worker_producer("worker", member)
        await producer.commit({ORDERS: some(1, "w")}, group=TASKS, offsets={})
    assert await values(log) == [b"w0"]


async def test_a_commit_in_a_generation_that_is_over_is_done_again_in_the_next(
    log: ClusterLog, member: ClusterMembership
) -> None:
    await make_topic(log)
    late = Late(member)
    producer = await log.worker_producer("worker", late)
    await rebalance(log, member)
    await producer.commit({ORDERS: some(2)}, group=TASKS, offsets={OTHER: CommittedOffset(1)})
    assert late.asked_for_next >= 1
    assert await values(log) == [b"v0", b"v1"]
    assert await log.committed_offsets(TASKS) == {OTHER: CommittedOffset(1)}


async def test_commits_go_on_while_the_group_rebalances(
    log: ClusterLog, member: ClusterMembership
) -> None:
    await make_topic(log)
    producer = await log.worker_producer("worker", member)
    async with anyio.create_task_group() as group:
        group.start_soon(commit_numbers, producer, ORDERS, range(15))
        for _ in range(3):
            await rebalance(log, member)
    assert await values(log) == [b"%d" % number for number in range(15)]


async def test_a_record_that_the_cluster_refuses_fails_its_task_alone(
    log: ClusterLog, member: ClusterMembership
) -> None:
    await make_topic(log, partitions=3, cleanup_policy="compact")
    producer = await log.worker_producer("worker", member)
    failed = []

    async def commit(task: TopicPartition, key: bytes | None) -> None:
        try:
            await producer.commit(
                {task: [new(b"v", key)]}, group=TASKS, offsets={task: CommittedOffset(1)}
            )
        except InvalidRecord:
            failed.append(task)

    tasks = [TopicPartition("orders", number) for number in range(3)]
    for _ in range(2):
        async with anyio.create_task_group() as group:
            for task, key in zip(tasks, [b"k", None, b"k"], strict=True):
                group.start_soon(commit, task, key)
    assert failed == [tasks[1]] * 2
    assert [await values(log, task) for task in tasks] == [[b"v"] * 2, [], [b"v"] * 2]
    assert (await log.committed_offsets(TASKS)).keys() == {tasks[0], tasks[2]}


async def test_what_can_not_be_sent_fails_its_task_before_anything_is_begun(
    log: ClusterLog, member: ClusterMembership
) -> None:
    await make_topic(log, max_message_bytes="1000")
    producer = await log.worker_producer("worker", member)
    too_large = {ORDERS: [new(b"x" * 2000)]}
    unknown = {TopicPartition("orders", 7): some(1)}
    with pytest.raises(RecordTooLarge):
        await producer.commit(too_large, group=TASKS, offsets={})
    with pytest.raises(UnknownTopic):
        await producer.commit(unknown, group=TASKS, offsets={})
    assert await log.end_offsets([ORDERS], Isolation.READ_UNCOMMITTED) == {ORDERS: 0}


async def test_tasks_that_write_to_a_topic_of_small_batches_do_not_fill_one_together(
    log: ClusterLog, member: ClusterMembership
) -> None:
    await make_topic(log, max_message_bytes="1000")
    producer = await log.worker_producer("worker", member)
    async with anyio.create_task_group() as group:
        for number in range(4):
            records = {ORDERS: [new(b"%d" % number + b"x" * 700)] * 2}
            group.start_soon(partial(producer.commit, records, group=TASKS, offsets={}))
    found = await values(log)
    assert sorted(value[:1] for value in found if value) == [b"%d" % (n // 2) for n in range(8)]
    transactions = (await log.end_offsets([ORDERS]))[ORDERS] - len(found)  # each has a marker
    assert transactions <= 2, "the first one, and all who came meanwhile"


async def test_who_is_cancelled_while_it_waits_disturbs_nobody(
    log: ClusterLog, member: ClusterMembership
) -> None:
    await make_topic(log, partitions=4)
    producer = await log.worker_producer("worker", member)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            with anyio.move_on_after(0.001):
                await producer.commit({ORDERS: some(1)}, group=TASKS, offsets={})
            group.start_soon(commit_numbers, producer, OTHER, range(1))
    await producer.commit({ORDERS: some(1, "last")}, group=TASKS, offsets={})
    assert (await values(log))[-1] == b"last0"
    assert await values(log, OTHER) == [b"1.0"] * 3


async def test_a_newer_producer_of_the_same_id_fences(
    log: ClusterLog, member: ClusterMembership
) -> None:
    await make_topic(log)
    before = await log.worker_producer("worker", member)
    await before.commit({ORDERS: some(1)}, group=TASKS, offsets={})
    after = await log.worker_producer("worker", member)
    for _ in range(2):
        with pytest.raises(Fenced, match="newer producer"):
            await before.commit({ORDERS: some(1, "stray")}, group=TASKS, offsets={})
    await after.commit({ORDERS: some(1, "w")}, group=TASKS, offsets={})
    assert await values(log) == [b"v0", b"w0"]


async def test_a_broker_is_killed_during_commits_and_nothing_is_lost_or_doubled(
    tmp_path: Path,
) -> None:
    """What a commit came to that failed is read from the log, with a new producer."""
    options = [f"--set={name}={value}" for name, value in SETTINGS.items()]
    count = 40
    with ExitStack() as running:
        broker = running.enter_context(BrokerProcess(tmp_path / "data", *options))
        again = BrokerProcess(tmp_path / "data", *options, "--listen", f"127.0.0.1:{broker.port}")
        async with ClusterLog.open(f"kafka://127.0.0.1:{broker.port}") as log:
            await make_topic(log, partitions=3)
            tasks = [TopicPartition("orders", number) for number in range(2)]
            out = TopicPartition("orders", 2)
            async with joined(log) as member, anyio.create_task_group() as group:
                group.start_soon(work, log, member, tasks, out, count)
                await eventually(partial(has_records, log, out, count // 4))
                broker.process.kill()
                await anyio.to_thread.run_sync(broker.wait)
                await anyio.to_thread.run_sync(running.enter_context, again)
            expected = [b"%d.%d" % (task.partition, n) for task in tasks for n in range(count)]
            found = await values(log, out)
            assert sorted(value or b"" for value in found) == sorted(expected)
            for task in tasks:
                assert await values(log, task) == [b"%d" % number for number in range(count)]


async def has_records(log: ClusterLog, partition: TopicPartition, count: int) -> bool:
    return (await log.end_offsets([partition]))[partition] >= count


async def work(
    log: ClusterLog,
    member: ClusterMembership,
    tasks: list[TopicPartition],
    out: TopicPartition,
    count: int,
) -> None:
    """Be a worker: when its producer can't go on, begin again where the log says."""
    starts = dict.fromkeys(tasks, 0)
    while min(starts.values()) < count:
        producer = await log.worker_producer("worker", member)
        done = await log.committed_offsets(TASKS, tasks)
        starts = {task: done[task].offset if task in done else 0 for task in tasks}
        try:
            async with anyio.create_task_group() as group:
                for task, start in starts.items():
                    group.start_soon(commit_numbers, producer, task, range(start, count), out)
        except* Fenced:
            pass  # what is done, and what is not, the log says


async def test_what_an_interrupted_round_came_to_is_not_known(
    log: ClusterLog, member: ClusterMembership
) -> None:
    await make_topic(log)
    producer = await log.worker_producer("worker", member)

    async def fail(*_: object) -> None:
        raise ZeroDivisionError

    producer._transactions._carry_out = fail  # type: ignore[method-assign]
    outcomes = []

    async def commit() -> None:
        try:
            await producer.commit({ORDERS: some(1)}, group=TASKS, offsets={})
        except (ZeroDivisionError, Undecided) as error:
            outcomes.append(type(error))

    async with anyio.create_task_group() as group:
        group.start_soon(commit)
        group.start_soon(commit)
    assert sorted(outcomes, key=str) == [ZeroDivisionError, Undecided]
