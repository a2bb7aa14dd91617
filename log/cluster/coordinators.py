"""Questions to whoever coordinates a group or a transactional id, which is looked up once.

Each call is one attempt. Whoever makes it knows from the answer whether it came from the coordinator, and
for how long to try again.
"""

from typing import Final

from ..errors import Unreachable
from ..wire.api import Api, RequestT, ResponseT
from .brokers import Brokers

GROUP: Final = 0
TRANSACTIONAL_ID: Final = 1
"""What a coordinator may be one of, as FindCoordinator has it."""


class Coordinators:
    """The coordinators of one cluster, as far as somebody has asked for them."""

    def __init__(self, brokers: Brokers) -> None:
        self.brokers = brokers
        self._known: dict[tuple[int, str], int] = {}

    async def ask(
        self, kind: int, key: str, api: Api[RequestT, ResponseT], request: RequestT, wait_s: float
    ) -> ResponseT:
        """Ask the coordinator of a group or a transactional id once.

        Raises:
            Unanswered: it may have carried out the request, or not.
            Unreachable: it has not got the request, or there is no coordinator now.
            MillpondError: the cluster won't have who asks, or what is asked.
        """
        node_id = self._known.get((kind, key))
        if node_id is None:
            node_id = await self.brokers.coordinator(key, kind)
            self._known[kind, key] = node_id
        try:
            return await self.brokers.ask(node_id, api, request, wait_s)
        except Unreachable:
            self.forget(kind, key)
            raise

    def forget(self, kind: int, key: str) -> None:
        """Look for it anew, next time."""
        self._known.pop((kind, key), None)
