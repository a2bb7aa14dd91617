"""Requests and responses as they stand on a connection: a length, a header, a body.

The first four bytes of a request say which API and version it is of; only then is it known how the
header goes on. The header's client id is an old-style string in every version.

Source: the Kafka protocol guide; KIP-482 (request header 2, response header 1). A response to
ApiVersions has header 0 always (KIP-511): the client that asks doesn't know yet what we speak.
"""

import struct
from typing import Final

import msgspec

from .api import Api, RequestT, ResponseT
from .errors import MalformedMessage
from .primitives import skip_tags

API_VERSIONS_KEY: Final = 18
LENGTH: Final = struct.Struct(">i")

_HEADER: Final = struct.Struct(">hhih")
_START: Final = struct.Struct(">hhi")
_RESPONSE: Final = struct.Struct(">ii")


class RequestHeader(msgspec.Struct, frozen=True):
    """What a request says of itself before its body, which begins at `body_position`."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None
    body_position: int


def read_request_start(frame: memoryview) -> tuple[int, int, int]:
    """Return API key, version and correlation id: all that can be read of any request.

    Raises:
        MalformedMessage: the frame is too short.
    """
    try:
        return _START.unpack_from(frame)
    except struct.error:
        raise MalformedMessage(f"a request of {len(frame)} bytes has no header") from None


def read_request_header(frame: memoryview, *, flexible: bool) -> RequestHeader:
    """Read the header of a request whose version is `flexible` or not.

    Raises:
        MalformedMessage: it is no header.
    """
    try:
        api_key, api_version, correlation_id, length = _HEADER.unpack_from(frame)
        position, client_id = _HEADER.size, None
        if length >= 0:
            position += length
            if position > len(frame):
                raise MalformedMessage(f"a client id of {length} bytes in a frame of {len(frame)}")
            client_id = str(frame[_HEADER.size : position], "utf-8")
        if flexible:
            position = skip_tags(frame, position)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise MalformedMessage(f"a request without a proper header: {error}") from error
    return RequestHeader(api_key, api_version, correlation_id, client_id, position)


def encode_request(
    api: Api[RequestT, ResponseT],
    version: int,
    correlation_id: int,
    client_id: str | None,
    request: RequestT,
) -> bytes:
    """Return a whole frame, its length included."""
    encoded = (client_id or "").encode()
    length = -1 if client_id is None else len(encoded)
    chunks = [b"", _HEADER.pack(api.key, version, correlation_id, length), encoded]
    if api.is_flexible(version):
        chunks.append(b"\0")
    api.write_request(version, request, chunks)
    chunks[0] = LENGTH.pack(sum(map(len, chunks)))
    return b"".join(chunks)


def encode_response(
    api: Api[RequestT, ResponseT], version: int, correlation_id: int, response: ResponseT
) -> bytes:
    """Return a whole frame, its length included."""
    chunks = [b""]
    if api.is_flexible(version) and api.key != API_VERSIONS_KEY:
        chunks.append(b"\0")
    api.write_response(version, response, chunks)
    chunks[0] = _RESPONSE.pack(4 + sum(map(len, chunks)), correlation_id)
    return b"".join(chunks)


def read_response(
    api: Api[RequestT, ResponseT], version: int, frame: memoryview
) -> tuple[int, ResponseT]:
    """Return correlation id and response of a frame, given without its length.

    Raises:
        MalformedMessage: the bytes are not what the API's version says.
    """
    try:
        (correlation_id,) = LENGTH.unpack_from(frame)
        position = LENGTH.size
        if api.is_flexible(version) and api.key != API_VERSIONS_KEY:
            position = skip_tags(frame, position)
    except (struct.error, IndexError) as error:
        raise MalformedMessage(f"a response without a proper header: {error}") from error
    return correlation_id, api.read_response(version, frame, position)
