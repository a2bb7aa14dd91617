"""Saying who one is: by the examples of the standards, and to servers that are not what they should be."""

from typing import Any

import pytest
from millpond.log.cluster.sasl import (
    MECHANISMS,
    Credentials,
    exchange_of,
    login,
    plain,
    scram,
)
from millpond.log.cluster.security import security_of
from millpond.log.errors import ConfigError, NotAuthorized
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.sasl_authenticate import SaslAuthenticateResponse
from millpond.log.wire.messages.sasl_handshake import SaslHandshakeResponse
from millpond.log.wire.schema import Message

USER = Credentials("SCRAM-SHA-256", "user", "pencil")

RFC_5802 = (
    "sha1",
    "fyko+d2lbbFgONRv9qkxdawL",
    b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
    b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
    b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
)
RFC_7677 = (
    "sha256",
    "rOprNGfwEbeRWgbNEkqO",
    b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    ),
    b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
)


@pytest.mark.parametrize("example", [RFC_5802, RFC_7677], ids=["RFC 5802", "RFC 7677"])
def test_scram_goes_as_in_the_standards(example: tuple[Any, ...]) -> None:
    hash_name, nonce, first, answer, final, proof = example
    exchange = scram(USER, hash_name, nonce)
    assert next(exchange) == first
    assert exchange.send(answer) == final
    with pytest.raises(StopIteration):
        exchange.send(proof)


def test_names_with_signs_of_scram_are_escaped() -> None:
    exchange = scram(Credentials("SCRAM-SHA-256", "a=b,c", "x"), "sha256", "nonce")
    assert next(exchange) == b"n,,n=a=3Db=2Cc,r=nonce"


def test_plain_shows_all() -> None:
    assert next(plain(Credentials("PLAIN", "zoë", "secret"))) == "\0zoë\0secret".encode()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"r=other,s=QUJD,i=4096", "somebody else's nonce"),
        (b"r=nonce,s=QUJD,i=4096", "somebody else's nonce"),
        (b"r=nonce1,s=QUJD,i=4095", "4095 iterations"),
        (b"r=nonce1,s=QUJD,i=2000000000", "2000000000 iterations"),
        (b"r=nonce1,s=QUJD,i=many", "many iterations"),
        (b"r=nonce1,s=!,i=4096", "where base64 should be"),
        (b"\xff", "the server says"),
    ],
)
def test_a_server_that_does_not_keep_to_scram(answer: bytes, why: str) -> None:
    exchange = scram(USER, "sha256", "nonce")
    next(exchange)
    with pytest.raises(NotAuthorized, match=why):
        exchange.send(answer)


@pytest.mark.parametrize(
    ("final", "why"),
    [
        (RFC_5802[-1], "does not know the password itself"),
        (b"", "does not know the password itself"),
        (b"e=invalid-proof", "as 'user': invalid-proof"),
    ],
)
def test_a_server_that_can_not_prove_itself(final: bytes, why: str) -> None:
    hash_name, nonce, _first, answer, _final, _proof = RFC_7677
    exchange = scram(USER, hash_name, nonce)
    next(exchange)
    exchange.send(answer)
    with pytest.raises(NotAuthorized, match=why):
        exchange.send(final)


def logged_in(*responses: Message) -> None:
    """Go through a login in which the broker gives these responses."""
    steps = login(USER, "nonce")
    next(steps)
    for response in responses:
        steps.send(response)


def test_a_broker_that_has_other_mechanisms() -> None:
    answer = SaslHandshakeResponse(error_code=33, mechanisms=["GSSAPI", "PLAIN"])
    with pytest.raises(ConfigError, match=r"SCRAM-SHA-256: .* GSSAPI, PLAIN"):
        logged_in(answer)


def test_a_broker_that_refuses_who_asks() -> None:
    accepted = SaslHandshakeResponse(mechanisms=["SCRAM-SHA-256"])
    answer = SaslAuthenticateResponse(
        error_code=ErrorCode.SASL_AUTHENTICATION_FAILED,
        error_message="Authentication failed: unknown user",
        auth_bytes=b"",
    )
    with pytest.raises(NotAuthorized, match=r"SCRAM-SHA-256 as 'user': .* unknown user"):
        logged_in(accepted, answer)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"sasl.mechanism": "OAUTHBEARER"}, "OAUTHBEARER .*, which have PLAIN, SCRAM-SHA-256"),
        ({}, "GSSAPI works for librdkafka's connections alone"),
        ({"sasl.mechanisms": "plain"}, "PLAIN needs the setting sasl.username"),
        ({"sasl.mechanisms": "PLAIN", "sasl.username": "u"}, "needs the setting sasl.password"),
        ({"security.protocol": "tls"}, "use plaintext, ssl, sasl_plaintext, sasl_ssl"),
    ],
)
def test_settings_that_our_connections_can_not_follow(settings: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        security_of({"security.protocol": "SASL_PLAINTEXT", **settings})


def test_credentials_are_in_no_representation() -> None:
    settings = {"sasl.mechanism": "PLAIN", "sasl.username": "user", "sasl.password": "secret"}
    security = security_of({"security.protocol": "sasl_plaintext", **settings})
    assert security.credentials == Credentials("PLAIN", "user", "secret")
    assert "secret" not in repr(security)
    assert "secret" not in repr(security.credentials)


def test_each_mechanism_has_an_exchange() -> None:
    for mechanism in MECHANISMS:
        assert next(exchange_of(Credentials(mechanism, "user", "pencil"), "nonce"))
