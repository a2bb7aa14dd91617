"""The broker that coordinates a group: found, connected to, and found anew when it is another one.

Each call is one attempt. Whoever asks decides whether and for how long to try again, since a member
of a group has something to lose meanwhile.
"""

from typing import Final, TypeVar

from ..errors import ConfigError, NotAuthorized, Unreachable
from ..wire.api import Api, RequestT
from ..wire.error_codes import ErrorCode
from ..wire.messages.find_coordinator import (
    FIND_COORDINATOR,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)
from ..wire.messages.heartbeat import HeartbeatResponse
from ..wire.messages.join_group import JoinGroupResponse
from ..wire.messages.leave_group import LeaveGroupResponse
from ..wire.messages.sync_group import SyncGroupResponse
from .address import ClusterAddress
from .connection import BrokerConnection

AnswerT = TypeVar(
    "AnswerT",
    bound=JoinGroupResponse | SyncGroupResponse | HeartbeatResponse | LeaveGroupResponse,
)

GROUP_KEY: Final = 0

ELSEWHERE: Final = frozenset({ErrorCode.NOT_COORDINATOR, ErrorCode.COORDINATOR_NOT_AVAILABLE})
NOT_YET: Final = ELSEWHERE | {ErrorCode.COORDINATOR_LOAD_IN_PROGRESS}
"""What goes away by itself, perhaps with another broker."""


class GroupCoordinator:
    """Asks a group's coordinator, over one connection, one request at a time."""

    def __init__(self, address: ClusterAddress, group: str, connect_s: float) -> None:
        """Say whose it is.

        Args:
            address: the cluster's.
            group: its id.
            connect_s: how long an attempt to find or to reach a broker may take.
        """
        self._address = address
        self._group = group
        self._connect_s = connect_s
        self._connection: BrokerConnection | None = None

    async def connect(self) -> BrokerConnection:
        """Return the connection to the coordinator, which has answered over it.

        Raises:
            Unreachable: there is no coordinator now, or no way to it.
        """
        if self._connection is None:
            host, port = await self._find()
            self._connection = await BrokerConnection.open(
                self._address, host, port, self._connect_s
            )
        return self._connection

    async def ask(self, api: Api[RequestT, AnswerT], request: RequestT, wait_s: float) -> AnswerT:
        """Ask once, and return an answer that comes from the coordinator.

        Raises:
            Unreachable: nobody answers, or one who is not the coordinator, or not yet.
        """
        connection = await self.connect()
        try:
            answer = await connection.ask(api, request, wait_s)
        except BaseException:
            await self.close()
            raise
        error = ErrorCode(answer.error_code)
        if error in ELSEWHERE:
            await self.close()
        if error in NOT_YET:
            raise Unreachable(f"{connection.broker}: group {self._group!r}: {error.name}")
        return answer

    async def close(self) -> None:
        """Close the connection, if there is one; the next question makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _find(self) -> tuple[str, int]:
        failed: Unreachable | None = None
        for host, port in self._address.hosts_and_ports():
            try:
                return await self._find_by(host, port)
            except Unreachable as error:
                failed = error
        assert failed is not None
        raise failed

    async def _find_by(self, host: str, port: int) -> tuple[str, int]:
        connection = await BrokerConnection.open(self._address, host, port, self._connect_s)
        try:
            request = FindCoordinatorRequest(
                key=self._group, key_type=GROUP_KEY, coordinator_keys=[self._group]
            )
            answer = await connection.ask(FIND_COORDINATOR, request, self._connect_s)
        finally:
            await connection.close()
        return _found(answer, self._group)


def _found(answer: FindCoordinatorResponse, group: str) -> tuple[str, int]:
    found = answer.coordinators[0] if answer.coordinators else answer
    error = ErrorCode(found.error_code)
    if error is ErrorCode.NONE:
        return found.host, found.port
    if error is ErrorCode.INVALID_GROUP_ID:
        raise ConfigError(f"{group!r} is no group id")
    if error is ErrorCode.GROUP_AUTHORIZATION_FAILED:
        raise NotAuthorized(f"group {group!r}: {error.name}")
    raise Unreachable(f"group {group!r} has no coordinator: {error.name}")
