"""SaslAuthenticate (36): one step of a mechanism's exchange, after a SaslHandshake (KIP-152).

    1   how long the session lasts (KIP-368)
    2   flexible

Source: the Kafka protocol, as of 4.1.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Bytes, Int16, Int64, Message, Since, String


class SaslAuthenticateRequest(Message):
    """What a client asks."""

    auth_bytes: Bytes


class SaslAuthenticateResponse(Message):
    """What the broker answers."""

    error_code: Int16 = 0
    error_message: String | None
    auth_bytes: Bytes
    session_lifetime_ms: Annotated[Int64, Since(1)] = 0


SASL_AUTHENTICATE: Final = Api(
    key=36,
    name="SaslAuthenticate",
    request=SaslAuthenticateRequest,
    response=SaslAuthenticateResponse,
    first=0,
    last=2,
    flexible_since=2,
)
"""SaslAuthenticate, as both sides know it."""
