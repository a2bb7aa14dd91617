"""How connections of our own are secured: by librdkafka's settings, so that both go the same way.

Source: librdkafka's CONFIGURATION.md, for the names and what they mean when they are not given.
"""

import ssl
from typing import Final

from ..errors import LogError
from .address import Settings

PROTOCOLS: Final = frozenset({"plaintext", "ssl"})


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return what TLS is spoken with; None for plain TCP.

    Raises:
        LogError: the settings ask for what is librdkafka's alone.
        OSError: a certificate can't be read.
    """
    protocol = str(settings.get("security.protocol", "plaintext")).lower()
    if protocol not in PROTOCOLS:
        raise LogError(
            f"with security.protocol={protocol} this can't be asked: it needs a connection of "
            "our own, which speaks plaintext and ssl"
        )
    if protocol == "plaintext":
        return None
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
