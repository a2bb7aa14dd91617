"""Membership in a group of the classic protocol: the client's side, of which a task takes care.

    join ─► JoinGroup ─► (who leads: share out) ─► SyncGroup ─► heartbeats, until the group rebalances

One task talks with the coordinator, and callers of `join` wait for what it brings. So heartbeats go
on whatever the callers do; and whoever is cancelled while it waits to join still gets the place in
the next generation, in which it can commit what it has, before it leaves.

A member is expelled when the coordinator says so, or when it has not answered for the session timeout:
then others may have been given everything. A process that was stopped (SIGSTOP) and goes on sees that
at its first look at `place`. A member that was not heard of since it told the leader something, and is
none any more, has told what does not hold now: so `join` fails, and the next one can tell the truth.

Heartbeats stop when the event loop does: a worker whose loop hangs loses its tasks, as it should.

Source: KIP-62, KIP-345 (static members), KIP-394 (member ids), KIP-429, KIP-814.
"""

import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import anyio

from ..errors import Expelled, MillpondError, Unreachable
from ..interface import ShareOut
from ..model import Place
from ..wire.api import Api, RequestT
from ..wire.error_codes import ErrorCode
from ..wire.messages.heartbeat import HEARTBEAT
from ..wire.messages.join_group import JOIN_GROUP, JoinGroupResponse
from ..wire.messages.leave_group import LEAVE_GROUP
from ..wire.messages.sync_group import SYNC_GROUP
from .address import ClusterAddress
from .consumer_protocol import decode_given
from .coordinator import AnswerT, GroupCoordinator
from .group_requests import Member, leads, told_in

HEARTBEAT_S_MAX: Final = 1.0
"""So much later does a member learn of a rebalance."""

HEARTBEATS_PER_SESSION: Final = 3
RETRY_PAUSE_S: Final = 0.05
RETRY_PAUSE_S_MAX: Final = 1.0
"""Pauses grow to this while no coordinator answers: hundreds of members may be waiting for one."""

CONNECT_S_MIN: Final = 1.0
LEAVE_S: Final = 2.0
LEAVE_ATTEMPTS: Final = 2
"""The second one is for a connection that was closed since the last heartbeat."""

ANSWER_SLACK_S: Final = 5.0
"""How much longer than a rebalance its answer may take."""


@dataclass(slots=True)
class _Joining:
    """A call of `join`, and what has become of it."""

    told: bytes
    was_member: bool
    given: bytes = b""
    failed: Exception | None = None
    done: anyio.Event = field(default_factory=anyio.Event)


class ClusterMembership:
    """A `Membership`. Make it with `membership`."""

    def __init__(
        self, member: Member, coordinator: GroupCoordinator, share_out: ShareOut, timeout_s: float
    ) -> None:
        self._member = member
        self._coordinator = coordinator
        self._share_out = share_out
        self._timeout_s = timeout_s
        self._session_s = member.session_timeout_ms / 1000
        self._interval_s = min(self._session_s / HEARTBEATS_PER_SESSION, HEARTBEAT_S_MAX)
        self._pause_s = self._interval_s
        self._retry_pause_s = RETRY_PAUSE_S
        self._member_id = ""
        self._place: Place | None = None
        self._heard_at_s = -math.inf
        self._rebalancing = False
        self._fenced = False
        self._joining: _Joining | None = None
        self._asked = anyio.Event()
        self._changed = anyio.Event()

    # -- what callers see ----------------------------------------------------------------------

    @property
    def place(self) -> Place | None:
        if self._place is not None and time.monotonic() > self._heard_at_s + self._session_s:
            self._expel()
        return self._place

    async def join(self, told: bytes) -> bytes:
        self._joining = joining = _Joining(told, was_member=self.place is not None)
        self._asked.set()
        try:
            await joining.done.wait()
        finally:
            if self._joining is joining:  # cancelled before the task has seen it
                self._joining = None
        if joining.failed is not None:
            raise joining.failed
        return joining.given

    async def until_rebalance(self) -> None:
        while self.place is not None and not self._rebalancing:
            await self._changed.wait()

    async def next_place(self, after: Place) -> Place | None:
        while (place := self.place) == after:
            await self._changed.wait()
        return place

    # -- the task ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Join when asked to; in between, tell the coordinator that this member is alive."""
        while True:
            with anyio.move_on_after(self._pause_s):
                await self._asked.wait()
            self._asked = anyio.Event()
            self._pause_s = self._interval_s
            joining, self._joining = self._joining, None
            if joining is not None:
                await self._join(joining)
            elif (place := self.place) is not None:
                await self._heartbeat(place)

    async def leave(self) -> None:
        """Leave the group; a static member keeps its place for the process that comes after it."""
        with anyio.move_on_after(LEAVE_S, shield=True):
            if self._member.instance_id is None:
                await self._tell_leaving()
        await self._coordinator.close()

    async def _heartbeat(self, place: Place) -> None:
        sent_at_s = time.monotonic()
        try:
            answer = await self._coordinator.ask(
                HEARTBEAT, self._member.heartbeat(place), self._session_s / HEARTBEATS_PER_SESSION
            )
        except MillpondError:
            self._pause_s = min(self._next_retry_pause_s(), self._interval_s)
            return
        self._retry_pause_s = RETRY_PAUSE_S
        match ErrorCode(answer.error_code):
            case ErrorCode.NONE:
                self._heard_at_s = sent_at_s
            case ErrorCode.REBALANCE_IN_PROGRESS:
                self._heard_at_s = sent_at_s
                self._rebalancing = True
                self._tell_change()
            case error:
                self._lose(error)

    async def _join(self, joining: _Joining) -> None:
        try:
            joining.given = await self._join_until_given(joining)
        except Exception as error:  # noqa: BLE001 - raised by `join`
            joining.failed = error
        joining.done.set()

    async def _join_until_given(self, joining: _Joining) -> bytes:
        while True:
            if self._fenced:
                raise self._member.refused(ErrorCode.FENCED_INSTANCE_ID)
            joined = await self._join_group(joining)
            if joined is None:
                continue
            given = await self._sync_group(joining, joined)
            if given is not None:
                return given

    async def _join_group(self, joining: _Joining) -> JoinGroupResponse | None:
        """Take part in the next generation; return None if that has to be asked for again."""
        request = self._member.join(self._member_id, joining.told)
        answer = await self._ask(joining, JOIN_GROUP, request)
        match ErrorCode(answer.error_code):
            case ErrorCode.NONE:
                self._member_id = answer.member_id
                self._place = self._member.place_in(answer)
                self._rebalancing = False
                self._tell_change()
                return answer
            case ErrorCode.MEMBER_ID_REQUIRED:
                self._member_id = answer.member_id
            case ErrorCode.REBALANCE_IN_PROGRESS:
                pass
            case ErrorCode.UNKNOWN_MEMBER_ID as error if self._member_id:
                self._lose(error)
            case error:
                self._lose(error)
                raise self._member.refused(error)
        return None

    async def _sync_group(self, joining: _Joining, joined: JoinGroupResponse) -> bytes | None:
        """Learn what is given, or give; return None if the group rebalances meanwhile."""
        given = await self._shared_out(joined) if leads(joined) else {}
        request = self._member.sync(self._member.place_in(joined), given)
        answer = await self._ask(joining, SYNC_GROUP, request)
        match ErrorCode(answer.error_code):
            case ErrorCode.NONE:
                return decode_given(answer.assignment)
            case ErrorCode.REBALANCE_IN_PROGRESS | ErrorCode.ILLEGAL_GENERATION:
                return None
            case ErrorCode.UNKNOWN_MEMBER_ID as error:
                self._lose(error)
                return None
            case error:
                self._lose(error)
                raise self._member.refused(error)

    async def _shared_out(self, joined: JoinGroupResponse) -> dict[str, bytes]:
        """Share out as the leader. If that fails, leave, so that nobody waits for it in vain."""
        try:
            told = told_in(joined)
            given = self._share_out(told)
            return {member_id: given.get(member_id, b"") for member_id in told}
        except Exception:
            with anyio.move_on_after(LEAVE_S):
                await self._tell_leaving()
            self._lose(ErrorCode.UNKNOWN_MEMBER_ID)
            raise

    async def _ask(
        self, joining: _Joining, api: Api[RequestT, AnswerT], request: RequestT
    ) -> AnswerT:
        """Ask until the coordinator answers. While it has the question, it knows that the member is there.

        Raises:
            Unreachable: it could not be asked for as long as a call may take.
            Expelled: the member has lost its place meanwhile.
        """
        wait_s = self._member.rebalance_timeout_ms / 1000 + ANSWER_SLACK_S
        give_up_at_s = time.monotonic() + self._timeout_s
        while True:
            if joining.was_member and self.place is None:
                raise Expelled(f"group {self._member.group!r} has gone on without this member")
            try:
                await self._coordinator.connect()
                asked_at_s, heard_at_s = time.monotonic(), self._heard_at_s
                self._heard_at_s = math.inf
                try:
                    answer = await self._coordinator.ask(api, request, wait_s)
                finally:
                    waited_s = time.monotonic() - asked_at_s
                    self._heard_at_s = heard_at_s + waited_s
                    give_up_at_s += waited_s
            except Unreachable:
                if time.monotonic() > give_up_at_s:
                    raise
                await anyio.sleep(self._next_retry_pause_s())
            else:
                self._retry_pause_s = RETRY_PAUSE_S
                self._heard_at_s = time.monotonic()
                return answer

    def _next_retry_pause_s(self) -> float:
        pause_s = self._retry_pause_s
        self._retry_pause_s = min(2 * pause_s, RETRY_PAUSE_S_MAX)
        return pause_s

    async def _tell_leaving(self) -> None:
        request = self._member.leave(self._member_id)
        for _attempt in range(LEAVE_ATTEMPTS if self._member_id else 0):
            with suppress(MillpondError):
                await self._coordinator.ask(LEAVE_GROUP, request, LEAVE_S)
                return

    # -- what becomes of the place -------------------------------------------------------------

    def _lose(self, error: ErrorCode) -> None:
        """Be expelled, for a reason that the coordinator gives."""
        self._fenced = self._fenced or error is ErrorCode.FENCED_INSTANCE_ID
        if error is ErrorCode.UNKNOWN_MEMBER_ID:
            self._member_id = ""
        self._expel()

    def _expel(self) -> None:
        self._place = None
        self._tell_change()

    def _tell_change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


@asynccontextmanager
async def membership(
    address: ClusterAddress, member: Member, share_out: ShareOut
) -> AsyncIterator[ClusterMembership]:
    """Become able to join a group; leave it at the end of the block."""
    heartbeat_s = member.session_timeout_ms / 1000 / HEARTBEATS_PER_SESSION
    connect_s = min(address.timeout_s, max(heartbeat_s, CONNECT_S_MIN))
    coordinator = GroupCoordinator(address, member.group, connect_s)
    ours = ClusterMembership(member, coordinator, share_out, address.timeout_s)
    failed: Exception | None = None
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ours.run)
            try:
                yield ours
            except Exception as error:  # noqa: BLE001 - raised below, not wrapped in a group
                failed = error
            tasks.cancel_scope.cancel()
    finally:
        await ours.leave()
    if failed is not None:
        raise failed
