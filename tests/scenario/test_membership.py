"""Members of a group that share out numbers: they come, go, die, and lose sight of the broker."""

import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import anyio
import anyio.abc
import anyio.to_thread
import pytest
from confluent_kafka.admin import AdminClient
from millpond.log.cluster import membership
from millpond.log.cluster.cluster_log import ClusterLog
from millpond.log.cluster.membership import ClusterMembership
from millpond.log.errors import ConfigError, Expelled, Fenced, Unreachable
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
from millpond.tests.clients.java_runtime import JARS, needs_jars
from millpond.tests.twins.running_broker import RunningBroker

pytestmark = pytest.mark.anyio

TLS = Path(__file__).parent / "tls"
GROUP = "numbers"
NUMBERS = range(6)
SETTINGS = {"group.min.session.timeout.ms": "100", "group.initial.rebalance.delay.ms": "0"}
SHORT_MS = 400
"""A session that tests can wait for the end of."""


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


class Worker:
    """Is given numbers whenever the group wants to share them out anew."""

    def __init__(self, log: ClusterLog, name: str, **options: object) -> None:
        self._block = log.membership(GROUP, share_numbers, **options)  # type: ignore[arg-type]
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


@pytest.fixture
def broker() -> Iterator[RunningBroker]:
    with RunningBroker(settings=SETTINGS) as broker:
        yield broker


@pytest.fixture(autouse=True)
def _heartbeats_are_frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "HEARTBEAT_S_MAX", 0.1)


@pytest.fixture
async def log(broker: RunningBroker) -> AsyncIterator[ClusterLog]:
    async with ClusterLog.open(f"kafka://127.0.0.1:{broker.port}", timeout_s=10) as log:
        yield log


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
async def one_that_dies(log: ClusterLog, **options: object) -> AsyncIterator[ClusterMembership]:
    """Be a member, and at the end neither leave nor be heard of any more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClusterMembership, "_tell_leaving", _silent)
        async with log.membership(GROUP, share_numbers, **options) as member:  # type: ignore[arg-type]
            yield member


@contextlib.asynccontextmanager
async def come_and_go(log: ClusterLog) -> AsyncIterator[None]:
    """Let three members come, and one go; two are there inside."""
    a, b, c = (Worker(log, name) for name in "abc")
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
async def test_members_come_and_go(log: ClusterLog) -> None:
    async with come_and_go(log):
        pass


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_who_dies_is_missed_after_its_session(
    log: ClusterLog, tasks: anyio.abc.TaskGroup
) -> None:
    a = Worker(log, "a", session_timeout_ms=SHORT_MS)
    await tasks.start(a.run)
    async with one_that_dies(log, session_timeout_ms=SHORT_MS) as b:
        assert json.loads(await b.join(b"b")) == [1, 3, 5]
        await eventually(lambda: a.given == [0, 2, 4])
    await eventually(lambda: a.given == [0, 1, 2, 3, 4, 5])


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_static_member_comes_back_unnoticed(
    log: ClusterLog, tasks: anyio.abc.TaskGroup
) -> None:
    leader = Worker(log, "a", instance_id="one")
    await tasks.start(leader.run)
    other = Worker(log, "b", instance_id="two")
    await tasks.start(other.run)
    await eventually(lambda: leader.times == 2)
    before = other.place

    for name, left, given in [("a", leader, [0, 2, 4]), ("b", other, [1, 3, 5])]:
        await left.leave()
        again = Worker(log, name, instance_id=left.place.instance_id)
        await tasks.start(again.run)
        assert again.given == given
        assert again.place.generation == before.generation
        assert again.place.member_id != left.place.member_id
    assert (leader.times, other.times) == (2, 1)


async def test_who_has_the_instance_id_later_fences_the_one_before(log: ClusterLog) -> None:
    async with (
        log.membership(GROUP, share_numbers, instance_id="one") as first,
        log.membership(GROUP, share_numbers, instance_id="one") as second,
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


async def test_a_leader_that_can_not_share_out_leads_no_more(log: ClusterLog) -> None:
    given = []
    async with (
        log.membership(GROUP, share_with_nobody) as first,
        log.membership(GROUP, share_numbers) as second,
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


async def test_whoever_is_expelled_joins_as_a_new_one(
    broker: RunningBroker, log: ClusterLog
) -> None:
    async with log.membership(GROUP, share_numbers, session_timeout_ms=1000) as member:
        await member.join(b"a")
        before = member.place
        assert before is not None
        expel(broker, before)
        with anyio.fail_after(5):
            await member.until_rebalance()
            assert await member.next_place(before) is None
        await member.join(b"a")
        assert member.place is not None
        assert member.place.member_id != before.member_id

        expel(broker, member.place)  # before a heartbeat can tell
        with pytest.raises(Expelled, match="'numbers' has gone on without this member"):
            await member.join(b"a, who has what it has not any more")
        assert member.place is None
        assert json.loads(await member.join(b"a")) == list(NUMBERS)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_restart_of_the_broker_expels_nobody() -> None:
    disk = MemoryDisk()
    with contextlib.ExitStack() as brokers:
        port = brokers.enter_context(RunningBroker(disk=disk, settings=SETTINGS)).port
        async with (
            ClusterLog.open(f"kafka://127.0.0.1:{port}") as log,
            log.membership(GROUP, share_numbers) as a,
            log.membership(GROUP, share_numbers) as b,
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
async def test_who_hears_nothing_for_its_session_knows_that_it_is_expelled() -> None:
    with contextlib.ExitStack() as brokers:
        port = brokers.enter_context(RunningBroker(settings=SETTINGS)).port
        async with (
            ClusterLog.open(f"kafka://127.0.0.1:{port}", timeout_s=1) as log,
            log.membership(GROUP, share_numbers, session_timeout_ms=SHORT_MS) as member,
            log.membership(GROUP, share_numbers, session_timeout_ms=SHORT_MS) as never,
        ):
            await member.join(b"a")
            await anyio.to_thread.run_sync(brokers.close)
            with anyio.fail_after(5):
                await member.until_rebalance()
            assert member.place is None
            with pytest.raises(Unreachable, match=r"refused|failed"):
                await never.join(b"b")


async def test_a_process_that_was_stopped_sees_at_once_that_it_is_expelled(log: ClusterLog) -> None:
    async with log.membership(GROUP, share_numbers, session_timeout_ms=SHORT_MS) as member:
        await member.join(b"a")
        time.sleep(SHORT_MS / 1000)  # noqa: ASYNC251 - as SIGSTOP does
        assert member.place is None


async def test_whoever_gives_up_waiting_still_gets_its_place(log: ClusterLog) -> None:
    """So it can commit what it has before it leaves."""
    async with (
        log.membership(GROUP, share_numbers) as a,
        log.membership(GROUP, share_numbers) as b,
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


async def test_whoever_leaves_while_it_waits_is_not_waited_for(log: ClusterLog) -> None:
    async with log.membership(GROUP, share_numbers) as a:
        await a.join(b"a")
        async with log.membership(GROUP, share_numbers) as b, anyio.create_task_group() as tasks:
            tasks.start_soon(b.join, b"b")
            await a.until_rebalance()
            tasks.cancel_scope.cancel()
        assert json.loads(await a.join(b"a")) == list(NUMBERS)


async def test_a_session_that_brokers_would_not_have(log: ClusterLog) -> None:
    async with log.membership(GROUP, share_numbers, session_timeout_ms=99) as member:
        with pytest.raises(ConfigError, match=r"of 99 ms.*group\.min\.session\.timeout\.ms"):
            await member.join(b"a")


async def test_a_group_that_is_in_use_by_another_program(
    broker: RunningBroker, log: ClusterLog
) -> None:
    request = JoinGroupRequest(
        group_id=GROUP,
        session_timeout_ms=6000,
        rebalance_timeout_ms=6000,
        member_id="",
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol(name="range", metadata=b"")],
    )
    with broker.client() as other:
        other.ask(JOIN_GROUP, 3, request)
        async with log.membership(GROUP, share_numbers) as member:
            with pytest.raises(ConfigError, match="'numbers' is in use by another program"):
                await member.join(b"a")


async def test_an_error_in_the_block_comes_out_as_it_is(log: ClusterLog) -> None:
    with pytest.raises(KeyError):
        async with log.membership(GROUP, share_numbers):
            raise KeyError


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_members_over_tls() -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(TLS / "localhost.pem", TLS / "localhost.key")
    secured = {"security.protocol": "ssl", "ssl.ca.location": str(TLS / "localhost.pem")}
    with RunningBroker(tls=server, settings=SETTINGS) as broker:
        url = f"kafka://localhost:{broker.port}"
        async with ClusterLog.open(url, settings=secured) as log, come_and_go(log):
            pass


@needs_jars()
@pytest.mark.clients
async def test_apache_kafka_knows_the_members(tmp_path: Path) -> None:
    with apache_kafka(tmp_path / "kafka", JARS) as kafka:
        async with ClusterLog.open(f"kafka://{kafka.address}") as log, come_and_go(log):
            admin = AdminClient({"bootstrap.servers": kafka.address})
            described = admin.describe_consumer_groups([GROUP])[GROUP].result(10)
            assert described.partition_assignor == "millpond-tasks"
            assert [member.client_id for member in described.members] == ["millpond"] * 2


def expel(broker: RunningBroker, place: Place) -> None:
    """Let a member leave that knows nothing of it."""
    identity = MemberIdentity(member_id=place.member_id)
    with broker.client() as client:
        left = client.ask(LEAVE_GROUP, 4, LeaveGroupRequest(group_id=GROUP, members=[identity]))
    assert left.members[0].error_code == 0
