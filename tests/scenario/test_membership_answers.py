"""What a member does about answers that a single healthy broker of today does not give."""

import contextlib
from collections.abc import AsyncIterator, Mapping

import anyio
import pytest
from millpond.log.cluster import membership
from millpond.log.cluster.address import parse_address
from millpond.log.cluster.consumer_protocol import encode_given, encode_told
from millpond.log.cluster.group_requests import Member
from millpond.log.cluster.membership import ClusterMembership
from millpond.log.errors import ConfigError, LogError, MillpondError, NotAuthorized
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.find_coordinator import FIND_COORDINATOR
from millpond.log.wire.messages.heartbeat import HEARTBEAT, HeartbeatResponse
from millpond.log.wire.messages.join_group import (
    JOIN_GROUP,
    JoinGroupRequest,
    JoinGroupResponse,
    JoinGroupResponseMember,
)
from millpond.log.wire.messages.leave_group import (
    LEAVE_GROUP,
    LeaveGroupRequest,
    LeaveGroupResponse,
)
from millpond.log.wire.messages.sync_group import SYNC_GROUP, SyncGroupRequest, SyncGroupResponse
from millpond.tests.twins.scripted_broker import Answer, AnyApi, ScriptedBroker, in_turn

pytestmark = pytest.mark.anyio


def joined(**told: object) -> JoinGroupResponse:
    """Answer a JoinGroup of the only member."""
    only = JoinGroupResponseMember(member_id="m", metadata=encode_told(b"told"))
    return JoinGroupResponse(
        **{  # type: ignore[arg-type]
            "generation_id": 1,
            "protocol_name": "millpond-tasks",
            "leader": "m",
            "member_id": "m",
            "members": [only],
            **told,
        }
    )


def not_joined(error: ErrorCode) -> JoinGroupResponse:
    return joined(error_code=error, generation_id=-1, leader="", member_id="", members=[])


HEALTHY: Mapping[AnyApi, Answer] = {
    JOIN_GROUP: in_turn(joined()),
    SYNC_GROUP: in_turn(SyncGroupResponse(assignment=encode_given(b"given"))),
    HEARTBEAT: in_turn(HeartbeatResponse()),
    LEAVE_GROUP: in_turn(LeaveGroupResponse()),
}


def echo(told: Mapping[str, bytes]) -> Mapping[str, bytes]:
    return told


def never(_told: Mapping[str, bytes]) -> Mapping[str, bytes]:
    raise AssertionError("there is nothing to share out")


@contextlib.asynccontextmanager
async def a_member(
    broker: ScriptedBroker, share_out: membership.ShareOut = echo, instance_id: str | None = None
) -> AsyncIterator[ClusterMembership]:
    address = parse_address(f"kafka://127.0.0.1:{broker.port}", {}, 1)
    who = Member("group", instance_id, session_timeout_ms=300, rebalance_timeout_ms=1000)
    async with membership.membership(address, who, share_out) as member:
        yield member


async def test_a_coordinator_that_moves_is_found_anew() -> None:
    answers = in_turn(
        not_joined(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS),
        not_joined(ErrorCode.NOT_COORDINATOR),
        not_joined(ErrorCode.COORDINATOR_NOT_AVAILABLE),
        joined(),
    )
    async with ScriptedBroker({**HEALTHY, JOIN_GROUP: answers}) as broker, a_member(broker) as one:
        assert await one.join(b"told") == b"given"
        assert broker.times_found == 3
        moved = HeartbeatResponse(error_code=ErrorCode.NOT_COORDINATOR)
        broker._answers[HEARTBEAT] = in_turn(moved, HeartbeatResponse())
        with anyio.fail_after(5):
            while broker.times_found == 3:  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(0.01)
        assert one.place is not None


async def test_an_older_broker_is_asked_what_it_knows() -> None:
    versions = {JOIN_GROUP: 5, SYNC_GROUP: 3, HEARTBEAT: 3, LEAVE_GROUP: 2, FIND_COORDINATOR: 2}
    async with ScriptedBroker(HEALTHY, versions) as broker:
        async with a_member(broker) as one:
            assert await one.join(b"told") == b"given"
        left = broker.asked[-1]
        assert isinstance(left, LeaveGroupRequest)
        assert left.member_id == "m"


async def test_a_broker_without_groups() -> None:
    async with ScriptedBroker({}) as broker, a_member(broker) as one:
        with pytest.raises(LogError, match="can't be asked JoinGroup: it has no such request"):
            await one.join(b"told")


async def test_a_static_leader_that_comes_back_shares_out_nothing() -> None:
    answers = in_turn(joined(skip_assignment=True))
    async with (
        ScriptedBroker({**HEALTHY, JOIN_GROUP: answers}) as broker,
        a_member(broker, never, "one") as member,
    ):
        assert await member.join(b"told") == b"given"
        [synced] = [each for each in broker.asked if isinstance(each, SyncGroupRequest)]
        assert synced.assignments == []


async def test_a_group_that_goes_on_while_members_sync_is_joined_again() -> None:
    answers = in_turn(
        SyncGroupResponse(error_code=ErrorCode.REBALANCE_IN_PROGRESS, assignment=b""),
        SyncGroupResponse(error_code=ErrorCode.UNKNOWN_MEMBER_ID, assignment=b""),
        SyncGroupResponse(assignment=b""),
    )
    async with ScriptedBroker({**HEALTHY, SYNC_GROUP: answers}) as broker, a_member(broker) as one:
        assert await one.join(b"told") == b""
        asked = [each.member_id for each in broker.asked if isinstance(each, JoinGroupRequest)]
        assert asked == ["", "m", ""]


@pytest.mark.parametrize(
    ("error", "id_afterwards"),
    [(ErrorCode.ILLEGAL_GENERATION, "m"), (ErrorCode.UNKNOWN_MEMBER_ID, "")],
)
async def test_a_heartbeat_tells_that_the_group_has_gone_on(
    error: ErrorCode, id_afterwards: str
) -> None:
    """A member that only missed a generation keeps its id, or others would wait for it in vain."""
    answers = in_turn(HeartbeatResponse(error_code=error))
    async with ScriptedBroker({**HEALTHY, HEARTBEAT: answers}) as broker, a_member(broker) as one:
        await one.join(b"told")
        await one.until_rebalance()
        assert one.place is None
        broker.asked.clear()
        await one.join(b"told")
        asked = next(each for each in broker.asked if isinstance(each, JoinGroupRequest))
        assert asked.member_id == id_afterwards


@pytest.mark.parametrize(
    ("error", "kind", "why"),
    [
        (ErrorCode.GROUP_MAX_SIZE_REACHED, LogError, "group.max.size"),
        (ErrorCode.GROUP_AUTHORIZATION_FAILED, NotAuthorized, "GROUP_AUTHORIZATION_FAILED"),
        (ErrorCode.INVALID_GROUP_ID, ConfigError, "'group' is no group id"),
        (ErrorCode.UNKNOWN_SERVER_ERROR, LogError, "group 'group': UNKNOWN_SERVER_ERROR"),
    ],
)
async def test_refusals(error: ErrorCode, kind: type[MillpondError], why: str) -> None:
    answers = in_turn(not_joined(error))
    async with ScriptedBroker({**HEALTHY, JOIN_GROUP: answers}) as broker, a_member(broker) as one:
        with pytest.raises(kind, match=why):
            await one.join(b"told")
        assert one.place is None
