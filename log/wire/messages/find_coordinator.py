"""FindCoordinator (10): which broker coordinates a group or a transactional id.

    1   key type: 0 a group, 1 a transactional id (KIP-98); error messages; throttle time
    3   flexible
    4   several keys at once (KIP-699)
    5   TRANSACTION_ABORTABLE may be answered (KIP-890)
    6   key type 2, a partition of a share group (KIP-932)

Source: the Kafka protocol, as of 4.1.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Int8, Int16, Int32, Message, Since, String, Until


class FindCoordinatorRequest(Message):
    """What a client asks."""

    key: Annotated[String, Until(3)] = ""
    key_type: Annotated[Int8, Since(1)] = 0
    coordinator_keys: Annotated[list[String], Since(4)] = []


class Coordinator(Message):
    """One of `FindCoordinatorResponse.coordinators`."""

    key: Annotated[String, Since(4)] = ""
    node_id: Annotated[Int32, Since(4)] = 0
    host: Annotated[String, Since(4)] = ""
    port: Annotated[Int32, Since(4)] = 0
    error_code: Annotated[Int16, Since(4)] = 0
    error_message: Annotated[String | None, Since(4)] = ""


class FindCoordinatorResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Annotated[Int32, Since(1)] = 0
    error_code: Annotated[Int16, Until(3)] = 0
    error_message: Annotated[String | None, Since(1), Until(3)] = ""
    node_id: Annotated[Int32, Until(3)] = 0
    host: Annotated[String, Until(3)] = ""
    port: Annotated[Int32, Until(3)] = 0
    coordinators: Annotated[list[Coordinator], Since(4)] = []


FIND_COORDINATOR: Final = Api(
    key=10,
    name="FindCoordinator",
    request=FindCoordinatorRequest,
    response=FindCoordinatorResponse,
    first=0,
    last=6,
    flexible_since=3,
)
"""FindCoordinator, as both sides know it."""
