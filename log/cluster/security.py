"""How connections of our own are secured: by librdkafka's settings, so that both go the same way.

Source: librdkafka's CONFIGURATION.md, for the names and what they mean when they are not given.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ..errors import ConfigError
from .address import Settings
from .sasl import MECHANISMS, Credentials

PROTOCOLS: Final[Mapping[str, tuple[bool, bool]]] = MappingProxyType(
    {
        "plaintext": (False, False),
        "ssl": (True, False),
        "sasl_plaintext": (False, True),
        "sasl_ssl": (True, True),
    }
)
"""Whether each speaks TLS, and whether clients say who they are."""


@dataclass(frozen=True, slots=True)
class Security:
    """What a connection begins with."""

    tls: ssl.SSLContext | None
    credentials: Credentials | None


def security_of(settings: Settings) -> Security:
    """Return what the settings ask for.

    Raises:
        ConfigError: they ask for what only librdkafka's connections can do.
        OSError: a certificate can't be read.
    """
    protocol = str(settings.get("security.protocol", "plaintext")).lower()
    if protocol not in PROTOCOLS:
        raise ConfigError(f"there is no security.protocol={protocol}: use {', '.join(PROTOCOLS)}")
    tls, sasl = PROTOCOLS[protocol]
    return Security(_tls(settings) if tls else None, _credentials(settings) if sasl else None)


def _credentials(settings: Settings) -> Credentials:
    given = settings.get("sasl.mechanism") or settings.get("sasl.mechanisms") or "GSSAPI"
    mechanism = str(given).upper()
    if mechanism not in MECHANISMS:
        raise ConfigError(
            f"sasl.mechanism={mechanism} works for librdkafka's connections alone, but some things "
            f"are asked over others, which have {', '.join(MECHANISMS)}"
        )
    for name in ("sasl.username", "sasl.password"):
        if name not in settings:
            raise ConfigError(f"sasl.mechanism={mechanism} needs the setting {name}")
    return Credentials(mechanism, str(settings["sasl.username"]), str(settings["sasl.password"]))


def _tls(settings: Settings) -> ssl.SSLContext:
    authority = settings.get("ssl.ca.location")
    context = ssl.create_default_context(cafile=None if authority is None else str(authority))
    if str(settings.get("ssl.endpoint.identification.algorithm", "https")) == "none":
        context.check_hostname = False
    if not _is_true(settings.get("enable.ssl.certificate.verification", True)):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if (certificate := settings.get("ssl.certificate.location")) is not None:
        key, password = settings.get("ssl.key.location"), settings.get("ssl.key.password")
        context.load_cert_chain(
            str(certificate),
            None if key is None else str(key),
            None if password is None else str(password),
        )
    return context


def _is_true(value: object) -> bool:
    return str(value).lower() not in {"false", "0"}
