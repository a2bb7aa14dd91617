"""SaslHandshake (17): by which mechanism a client wants to say who it is.

    1   what follows travels in SaslAuthenticate requests (KIP-152); before, as bare bytes

Source: the Kafka protocol, as of 4.1.
"""

from typing import Final

from ..api import Api
from ..schema import VERSION_MAX, Int16, Message, String


class SaslHandshakeRequest(Message):
    """What a client asks."""

    mechanism: String


class SaslHandshakeResponse(Message):
    """What the broker answers: also which mechanisms it has."""

    error_code: Int16 = 0
    mechanisms: list[String]


SASL_HANDSHAKE: Final = Api(
    key=17,
    name="SaslHandshake",
    request=SaslHandshakeRequest,
    response=SaslHandshakeResponse,
    first=0,
    last=1,
    flexible_since=VERSION_MAX + 1,
)
"""SaslHandshake, as both sides know it."""
