"""DeleteTopics (20): delete topics.

    1   throttle time
    3   TOPIC_DELETION_DISABLED may be answered
    4   flexible
    5   error messages; THROTTLING_QUOTA_EXCEEDED may be answered (KIP-599)
    6   topics by id or name (KIP-516)

Source: the Kafka protocol, as of 4.1; KIP-4.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import NO_UUID, Int16, Int32, Message, NullableSince, Since, String, Until, Uuid


class DeleteTopicState(Message):
    """One of `DeleteTopicsRequest.topics`."""

    name: Annotated[String | None, Since(6)] = None
    topic_id: Annotated[Uuid, Since(6)] = NO_UUID


class DeleteTopicsRequest(Message):
    """What a client asks."""

    topics: Annotated[list[DeleteTopicState], Since(6)] = []
    topic_names: Annotated[list[String], Until(5)] = []
    timeout_ms: Int32


class DeletableTopicResult(Message):
    """One of `DeleteTopicsResponse.responses`."""

    name: Annotated[String | None, NullableSince(6)]
    topic_id: Annotated[Uuid, Since(6)] = NO_UUID
    error_code: Int16 = 0
    error_message: Annotated[String | None, Since(5)] = None


class DeleteTopicsResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    responses: list[DeletableTopicResult]


DELETE_TOPICS: Final = Api(
    key=20,
    name="DeleteTopics",
    request=DeleteTopicsRequest,
    response=DeleteTopicsResponse,
    first=1,
    last=6,
    flexible_since=4,
)
"""DeleteTopics, as both sides know it."""
