r"""Saying who one is to a broker, by PLAIN or SCRAM. Pure: exchanges are generators of what to send.

    PLAIN    ─► \0 user \0 password
    SCRAM    ─► user, nonce        ◄─ nonce + more, salt, iterations
             ─► proof              ◄─ the server's own proof

SCRAM shows the password to nobody: each side proves that it knows it, or what is derived from it, for
this pair of nonces alone. PLAIN belongs on TLS.

Kerberos and OAuth need libraries and tokens that librdkafka takes care of; they are not spoken here.
Names and passwords are not normalized (SASLprep), as neither Kafka nor librdkafka does.

Source: RFC 4616 (PLAIN), RFC 5802 and RFC 7677 (SCRAM), KIP-84, KIP-152.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from ..errors import ConfigError, NotAuthorized
from ..wire.api import Api
from ..wire.error_codes import ErrorCode
from ..wire.messages.sasl_authenticate import (
    SASL_AUTHENTICATE,
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
)
from ..wire.messages.sasl_handshake import (
    SASL_HANDSHAKE,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)
from ..wire.schema import Message

PLAIN: Final = "PLAIN"
SCRAM_HASHES: Final[Mapping[str, str]] = MappingProxyType(
    {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
)
MECHANISMS: Final = (PLAIN, *SCRAM_HASHES)

HANDSHAKE_VERSION: Final = 1
AUTHENTICATE_VERSION: Final = 1

ITERATIONS_MIN: Final = 4096
ITERATIONS_MAX: Final = 1_000_000
"""More would keep the event loop from all else for a second: no server needs to ask that of a client."""

NO_BINDING: Final = "n,,"
"""Says that the exchange is not bound to a TLS channel, which Kafka does not know."""

Exchange: TypeAlias = Generator[bytes, bytes, None]


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who one is, and how that is shown."""

    mechanism: str
    username: str
    password: str = field(repr=False)


class Step(NamedTuple):
    """A request to be sent; its response goes back into the generator that it comes from."""

    api: Api[Any, Any]
    version: int
    request: Message


def login(credentials: Credentials, nonce: str) -> Generator[Step, Any, None]:
    """Say who one is over a new connection.

    Args:
        credentials: who one is.
        nonce: chance, in printable characters but commas.

    Raises:
        ConfigError: the broker has other mechanisms.
        NotAuthorized: the broker won't have these credentials, or is not who it should be.
    """
    mechanism = credentials.mechanism
    answer: SaslHandshakeResponse = yield Step(
        SASL_HANDSHAKE, HANDSHAKE_VERSION, SaslHandshakeRequest(mechanism=mechanism)
    )
    if answer.error_code == ErrorCode.UNSUPPORTED_SASL_MECHANISM:
        theirs = ", ".join(answer.mechanisms)
        raise ConfigError(f"sasl.mechanism={mechanism}: the broker does not have it, but {theirs}")
    if answer.error_code != ErrorCode.NONE:
        raise NotAuthorized(f"{mechanism}: {ErrorCode(answer.error_code).name}")
    exchange = exchange_of(credentials, nonce)
    data = next(exchange)
    while True:
        step: SaslAuthenticateResponse = yield Step(
            SASL_AUTHENTICATE, AUTHENTICATE_VERSION, SaslAuthenticateRequest(auth_bytes=data)
        )
        if step.error_code != ErrorCode.NONE:
            why = step.error_message or ErrorCode(step.error_code).name
            raise NotAuthorized(f"{mechanism} as {credentials.username!r}: {why}")
        try:
            data = exchange.send(step.auth_bytes)
        except StopIteration:
            return


def exchange_of(credentials: Credentials, nonce: str) -> Exchange:
    """Return what a mechanism sends; it is to be given the answers."""
    if credentials.mechanism == PLAIN:
        return plain(credentials)
    return scram(credentials, SCRAM_HASHES[credentials.mechanism], nonce)


def plain(credentials: Credentials) -> Exchange:
    """Show name and password."""
    yield f"\0{credentials.username}\0{credentials.password}".encode()


def scram(credentials: Credentials, hash_name: str, nonce: str) -> Exchange:
    """Prove to know the password, and have the server prove it."""
    name = credentials.username.replace("=", "=3D").replace(",", "=2C")
    client_first = f"n={name},r={nonce}"
    server_first = yield (NO_BINDING + client_first).encode()
    given = _attributes(server_first)
    both, salt, iterations = given.get("r", ""), _decoded(given.get("s", "")), given.get("i", "")
    if not both.startswith(nonce) or both == nonce:
        raise NotAuthorized("SCRAM: the server answers somebody else's nonce")
    if not iterations.isdecimal() or not ITERATIONS_MIN <= int(iterations) <= ITERATIONS_MAX:
        raise NotAuthorized(
            f"SCRAM: the server asks for {iterations} iterations: it should be "
            f"{ITERATIONS_MIN} to {ITERATIONS_MAX}"
        )
    client_final = f"c={base64.b64encode(NO_BINDING.encode()).decode()},r={both}"
    signed = b",".join([client_first.encode(), server_first, client_final.encode()])

    salted = hashlib.pbkdf2_hmac(hash_name, credentials.password.encode(), salt, int(iterations))
    client_key = hmac.digest(salted, b"Client Key", hash_name)
    stored_key = hashlib.new(hash_name, client_key).digest()
    signature = hmac.digest(stored_key, signed, hash_name)
    proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
    server_final = yield f"{client_final},p={base64.b64encode(proof).decode()}".encode()

    server_key = hmac.digest(salted, b"Server Key", hash_name)
    expected = hmac.digest(server_key, signed, hash_name)
    told = _attributes(server_final)
    if "e" in told:
        raise NotAuthorized(f"SCRAM as {credentials.username!r}: {told['e']}")
    if not hmac.compare_digest(_decoded(told.get("v", "")), expected):
        raise NotAuthorized("SCRAM: the server does not know the password itself")


def _attributes(message: bytes) -> dict[str, str]:
    try:
        parts = message.decode().split(",")
    except UnicodeDecodeError:
        raise NotAuthorized(f"SCRAM: the server says {message!r}") from None
    return {name: value for name, _, value in (part.partition("=") for part in parts)}


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise NotAuthorized(f"SCRAM: the server says {text!r} where base64 should be") from None
