"""Members of a group that share out numbers: they come, go, die, and lose sight of the broker."""

import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import anyio.abc
import anyio.to_thread
import pytest
from confluent_kafka.admin import AdminClient
from millpond.log.cluster import membership
from millpond.log.cluster.address import parse_address
from millpond.log.cluster.cluster_log import ClusterLog
from millpond.log.cluster.group_requests import Member
from millpond.log.cluster.membership import ClusterMembership
from millpond.log.errors import ConfigError, Expelled, Fenced, Unreachable
from millpond.log.interface import ShareOut
from millpond.log.model import Place
from millpond.log.shell.listeners import Listener
from millpond.log.shell.memory_disk import MemoryDisk
from millpond.log.wire.messages.join_group import (
    JOIN_GROUP,
    JoinGroupRequest,
    JoinGroupRequestProtocol,
)
from millpond.log.wire.messages.leave_group import LEAVE_GROUP, LeaveGroupRequest, MemberIdentity
from millpond.tests.clients.brokers import apache_kafka
from millpond.tests.clients.faulty_network import FaultyNetwork
from millpond.tests.clients.java_runtime import JARS, needs_jars
from millpond.tests.twins.raw_client import RawClient
from millpond.tests.twins.running_broker import RunningBroker

pytestmark = pytest.mark.anyio

TLS = Path(__file__).parent / "tls"
MemberBlock = contextlib.AbstractAsyncContextManager[ClusterMembership]
NUMBERS = range(6)
CUTS = 20
SETTINGS = {"group.min.session.timeout.ms": "100", "group.initial.rebalance.delay.ms": "0"}


def share_numbers(told: Mapping[str, bytes]) -> dict[str, bytes]:
    """Deal out numbers to members in the order of what they call themselves."""
    order = sorted(told, key=lambda member: told[member])
    return {
        member: json.dumps([number for number in NUMBERS if number % len(order) == place]).encode()
        for place, member in enumerate(order)
    }


def share_with_nobody(told: Mapping[str, bytes]) -> dict[str, bytes]:
    if len(told) > 1:
        raise ZeroDivisionError
    return share_numbers(told)


@dataclass
class Group:
    """A group on a cluster that nobody else has used."""

    log: ClusterLog
    port: int
    short_session_ms: int = 400
    """As short as the broker allows, for tests that wait for its end."""
    name: str = field(default_factory=lambda: f"numbers-{uuid4()}")

    def member(self, share_out: ShareOut = share_numbers, **options: Any) -> MemberBlock:
        return self.log.membership(self.name, share_out, **options)

    def expel(self, place: Place) -> None:
        """Let a member leave that knows nothing of it."""
        identity = MemberIdentity(member_id=place.member_id)
        request = LeaveGroupRequest(group_id=self.name, members=[identity])
        with RawClient("127.0.0.1", self.port) as client:
            left = client.ask(LEAVE_GROUP, 4, request)
        assert left.members[0].error_code == 0


class Worker:
    """Is given numbers whenever the group wants to share them out anew."""

    def __init__(self, block: MemberBlock, name: str) -> None:
        self._block = block
        self._name = name
        self._scope = anyio.CancelScope()
        self._left = anyio.Event()
        self.given: list[int] = []
        self.times = 0

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        with self._scope:
            async with self._block as self.membership:
                while True:
                    self.given = json.loads(await self.membership.join(self._name.encode()))
                    self.times += 1
                    if self.times == 1:
                        task_status.started()
                    await self.membership.until_rebalance()
        self._left.set()

    @property
    def place(self) -> Place:
        assert self.membership.place is not None
        return self.membership.place

    async def leave(self) -> None:
        self._scope.cancel()
        await self._left.wait()


@pytest.fixture(scope="module")
def millpond_port() -> Iterator[int]:
    with RunningBroker(settings=SETTINGS) as broker:
        yield broker.port


@pytest.fixture(scope="module")
def kafka_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with apache_kafka(tmp_path_factory.mktemp("kafka"), JARS) as kafka:
        yield int(kafka.address.rpartition(":")[2])


@pytest.fixture(autouse=True)
def _heartbeats_are_frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "HEARTBEAT_S_MAX", 0.1)


@pytest.fixture(
    params=["millpond", pytest.param("kafka", marks=[pytest.mark.clients, needs_jars()])]
)
async def group(request: pytest.FixtureRequest) -> AsyncIterator[Group]:
    port: int = request.getfixturevalue(f"{request.param}_port")
    async with a_group(port, timeout_s=10) as group:
        if request.param == "kafka":
            group.short_session_ms = 1000
        yield group


@contextlib.asynccontextmanager
async def a_group(port: int, **options: Any) -> AsyncIterator[Group]:
    async with ClusterLog.open(f"kafka://localhost:{port}", **options) as log:
        yield Group(log, port)


@pytest.fixture
async def tasks() -> AsyncIterator[anyio.abc.TaskGroup]:
    async with anyio.create_task_group() as tasks:
        yield tasks
        tasks.cancel_scope.cancel()


async def eventually(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not holds():  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.01)


async def _silent(_member: ClusterMembership) -> None:
    pass


@contextlib.asynccontextmanager
async def one_that_dies(group: Group, **options: Any) -> AsyncIterator[ClusterMembership]:
    """Be a member, and at the end neither leave nor be heard of any more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClusterMembership, "_tell_leaving", _silent)
        async with group.member(**options) as member:
            yield member


@contextlib.asynccontextmanager
async def come_and_go(group: Group) -> AsyncIterator[None]:
    """Let three members come, and one go; two are there inside."""
    a, b, c = (Worker(group.member(), name) for name in "abc")
    async with anyio.create_task_group() as tasks:
        await tasks.start(a.run)
        assert a.given == [0, 1, 2, 3, 4, 5]
        await tasks.start(b.run)
        await tasks.start(c.run)
        await eventually(lambda: [a.given, b.given, c.given] == [[0, 3], [1, 4], [2, 5]])
        assert len({each.place.generation for each in (a, b, c)}) == 1
        assert len({each.place.member_id for each in (a, b, c)}) == 3
        await a.leave()  # the leader
        await eventually(lambda: [b.given, c.given] == [[0, 2, 4], [1, 3, 5]])
        yield
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_members_come_and_go(group: Group) -> None:
    async with come_and_go(group):
        pass


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_who_dies_is_missed_after_its_session(
    group: Group, tasks: anyio.abc.TaskGroup
) -> None:
    a = Worker(group.member(session_timeout_ms=group.short_session_ms), "a")
    await tasks.start(a.run)
    async with one_that_dies(group, session_timeout_ms=group.short_session_ms) as b:
        assert json.loads(await b.join(b"b")) == [1, 3, 5]
        await eventually(lambda: a.given == [0, 2, 4])
    await eventually(lambda: a.given == [0, 1, 2, 3, 4, 5])


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_static_member_comes_back_unnoticed(
    group: Group, tasks: anyio.abc.TaskGroup
) -> None:
    leader = Worker(group.member(instance_id="one"), "a")
    await tasks.start(leader.run)
    other = Worker(group.member(instance_id="two"), "b")
    await tasks.start(other.run)
    await eventually(lambda: leader.times == 2)
    before = other.place

    for name, left, given in [("a", leader, [0, 2, 4]), ("b", other, [1, 3, 5])]:
        await left.leave()
        again = Worker(group.member(instance_id=left.place.instance_id), name)
        await tasks.start(again.run)
        assert again.given == given
        assert again.place.generation == before.generation
        assert again.place.member_id != left.place.member_id
    assert (leader.times, other.times) == (2, 1)


async def test_who_has_the_instance_id_later_fences_the_one_before(group: Group) -> None:
    async with (
        group.member(instance_id="one") as first,
        group.member(instance_id="one") as second,
    ):
        await first.join(b"a")
        await second.join(b"a")
        with anyio.fail_after(5):
            await first.until_rebalance()
        assert first.place is None
        for _ in range(2):
            with pytest.raises(Fenced, match="another process has the instance id 'one'"):
                await first.join(b"a")
        assert second.place is not None


async def test_a_leader_that_can_not_share_out_leads_no_more(group: Group) -> None:
    given = []
    async with (
        group.member(share_with_nobody) as first,
        group.member() as second,
        anyio.create_task_group() as tasks,
    ):
        await first.join(b"a")

        async def follow() -> None:
            given.append(await second.join(b"b"))

        tasks.start_soon(follow)
        await first.until_rebalance()
        with pytest.raises(ZeroDivisionError):
            await first.join(b"a")
        assert first.place is None
        await eventually(lambda: given != [])
        assert json.loads(given[0]) == list(NUMBERS)


async def test_whoever_is_expelled_joins_as_a_new_one(group: Group) -> None:
    async with group.member(session_timeout_ms=1000) as member:
        await member.join(b"a")
        before = member.place
        assert before is not None
        group.expel(before)
        with anyio.fail_after(5):
            await member.until_rebalance()
            assert await member.next_place(before) is None
        await member.join(b"a")
        assert member.place is not None
        assert member.place.member_id != before.member_id

        group.expel(member.place)  # before a heartbeat can tell
        with pytest.raises(Expelled, match="has gone on without this member"):
            await member.join(b"a, who has what it has not any more")
        assert member.place is None
        assert json.loads(await member.join(b"a")) == list(NUMBERS)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_restart_of_the_broker_expels_nobody() -> None:
    disk = MemoryDisk()
    with contextlib.ExitStack() as brokers:
        port = brokers.enter_context(RunningBroker(disk=disk, settings=SETTINGS)).port
        async with (
            a_group(port) as group,
            group.member() as a,
            group.member() as b,
            anyio.create_task_group() as tasks,
        ):
            await a.join(b"a")
            before = a.place
            assert before is not None
            tasks.start_soon(b.join, b"b")
            await a.until_rebalance()  # now b waits for a
            await anyio.to_thread.run_sync(brokers.close)
            here = [Listener(f"127.0.0.1:{port}")]
            brokers.enter_context(RunningBroker(disk=disk, settings=SETTINGS, listeners=here))
            with anyio.fail_after(5):
                assert a.place == before
                while json.loads(await a.join(b"a")) != [0, 2, 4]:
                    await a.until_rebalance()
            assert a.place is not None
            assert a.place.member_id == before.member_id


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_broken_connections_expel_nobody(
    millpond_port: int, tasks: anyio.abc.TaskGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever has been on its way: a question that nobody got, or an answer."""
    monkeypatch.setattr(membership, "HEARTBEAT_S_MAX", 0.01)
    broker = f"127.0.0.1:{millpond_port}"
    with FaultyNetwork(broker, cuts_max=CUTS, bytes_between_cuts=1500) as network:
        address = parse_address(f"kafka://{network.address}", {}, 10)
        group_name = f"numbers-{uuid4()}"

        def member(session_timeout_ms: int) -> MemberBlock:
            who = Member(group_name, None, session_timeout_ms, rebalance_timeout_ms=10_000)
            return membership.membership(address, who, share_numbers)

        workers = [Worker(member(5000), name) for name in "abc"]
        for worker in workers:
            await tasks.start(worker.run)
        ids = [worker.place.member_id for worker in workers]
        while network.cuts < CUTS:
            async with member(300) as guest:
                await guest.join(b"z")
        await eventually(lambda: [each.given for each in workers] == [[0, 3], [1, 4], [2, 5]])
        assert [worker.place.member_id for worker in workers] == ids
        for worker in workers:
            await worker.leave()


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_who_hears_nothing_for_its_session_knows_that_it_is_expelled() -> None:
    with contextlib.ExitStack() as brokers:
        port = brokers.enter_context(RunningBroker(settings=SETTINGS)).port
        async with (
            a_group(port, timeout_s=0.5) as group,
            group.member(session_timeout_ms=group.short_session_ms) as member,
            group.member(session_timeout_ms=group.short_session_ms) as never,
        ):
            await member.join(b"a")
            await anyio.to_thread.run_sync(brokers.close)
            with anyio.fail_after(5):
                await member.until_rebalance()
            assert member.place is None
            with pytest.raises(Unreachable, match=f"localhost:{port} can't be reached: .*111"):
                await never.join(b"b")


async def test_a_process_that_was_stopped_sees_at_once_that_it_is_expelled(group: Group) -> None:
    async with group.member(session_timeout_ms=group.short_session_ms) as member:
        await member.join(b"a")
        time.sleep(group.short_session_ms / 1000)  # noqa: ASYNC251 - as SIGSTOP does
        assert member.place is None


async def test_whoever_gives_up_waiting_still_gets_its_place(group: Group) -> None:
    """So it can commit what it has before it leaves."""
    async with (
        group.member() as a,
        group.member() as b,
        anyio.create_task_group() as tasks,
    ):
        await a.join(b"a")
        tasks.start_soon(b.join, b"b")
        await a.until_rebalance()
        await a.join(b"a")
        assert a.place is not None
        before = a.place
        b_place = b.place
        assert b_place is not None

        with anyio.move_on_after(0.1):
            await a.join(b"a again")  # waits for b
        assert a.place == before
        tasks.start_soon(b.join, b"b")
        with anyio.fail_after(5):
            place = await a.next_place(before)
        assert place is not None
        assert (place.generation, place.member_id) == (before.generation + 1, before.member_id)


async def test_whoever_leaves_while_it_waits_is_not_waited_for(group: Group) -> None:
    async with group.member() as a:
        await a.join(b"a")
        async with group.member() as b, anyio.create_task_group() as tasks:
            tasks.start_soon(b.join, b"b")
            await a.until_rebalance()
            tasks.cancel_scope.cancel()
        assert json.loads(await a.join(b"a")) == list(NUMBERS)


async def test_a_session_that_brokers_would_not_have(group: Group) -> None:
    async with group.member(session_timeout_ms=99) as member:
        with pytest.raises(ConfigError, match=r"of 99 ms.*group\.min\.session\.timeout\.ms"):
            await member.join(b"a")


async def test_a_group_that_is_in_use_by_another_program(group: Group) -> None:
    request = JoinGroupRequest(
        group_id=group.name,
        session_timeout_ms=6000,
        rebalance_timeout_ms=6000,
        member_id="",
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol(name="range", metadata=b"")],
    )
    with RawClient("127.0.0.1", group.port) as other:
        other.ask(JOIN_GROUP, 3, request)
        async with group.member() as member:
            with pytest.raises(ConfigError, match="is in use by another program"):
                await member.join(b"a")


async def test_an_error_in_the_block_comes_out_as_it_is(group: Group) -> None:
    with pytest.raises(KeyError):
        async with group.member():
            raise KeyError


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_members_over_tls() -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(TLS / "localhost.pem", TLS / "localhost.key")
    secured = {"security.protocol": "ssl", "ssl.ca.location": str(TLS / "localhost.pem")}
    with RunningBroker(tls=server, settings=SETTINGS) as broker:
        async with a_group(broker.port, settings=secured) as group, come_and_go(group):
            pass


async def test_kafkas_tools_can_tell_the_members(group: Group) -> None:
    async with come_and_go(group):
        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{group.port}"})
        described = admin.describe_consumer_groups([group.name])[group.name].result(10)
        assert described.partition_assignor == "millpond-tasks"
        assert [member.client_id for member in described.members] == ["millpond"] * 2
        assert [member.assignment.topic_partitions for member in described.members] == [[], []]
