"""Frames and headers, byte by byte, and what is said of messages that can't be written."""

import pytest
from millpond.log.wire.errors import MalformedMessage, UnsupportedVersion, UnwritableMessage
from millpond.log.wire.frames import (
    encode_request,
    encode_response,
    read_request_header,
    read_request_start,
    read_response,
)
from millpond.log.wire.messages.api_versions import (
    API_VERSIONS,
    ApiVersion,
    ApiVersionsRequest,
    ApiVersionsResponse,
)
from millpond.log.wire.messages.heartbeat import HEARTBEAT, HeartbeatRequest, HeartbeatResponse
from millpond.log.wire.messages.metadata import METADATA, MetadataRequest, MetadataRequestTopic

BEAT = HeartbeatRequest(group_id="g", generation_id=3, member_id="m")


def test_a_request_of_old() -> None:
    assert encode_request(HEARTBEAT, 0, 7, "me", BEAT) == (
        b"\0\0\0\x16"  # what follows
        b"\0\x0c\0\0\0\0\0\7"  # API, version, correlation id
        b"\0\2me"
        b"\0\1g"
        b"\0\0\0\3"
        b"\0\1m"
    )


def test_a_flexible_request_still_has_an_old_client_id() -> None:
    frame = encode_request(HEARTBEAT, 4, 7, "me", BEAT)
    assert frame[4:] == (
        b"\0\x0c\0\4\0\0\0\7"
        b"\0\2me"
        b"\0"  # no tagged fields in the header
        b"\2g\0\0\0\3\2m\0\0"  # compact strings, no instance id, no tagged fields
    )
    header = read_request_header(memoryview(frame)[4:], flexible=True)
    assert (header.api_key, header.api_version, header.correlation_id) == (12, 4, 7)
    assert header.client_id == "me"
    assert HEARTBEAT.read_request(4, memoryview(frame)[4:], header.body_position) == BEAT


@pytest.mark.parametrize("client_id", [None, "", "ä" * 200])
def test_a_client_id_may_be_missing_empty_or_long(client_id: str | None) -> None:
    frame = memoryview(encode_request(HEARTBEAT, 4, 7, client_id, BEAT))[4:]
    assert read_request_header(frame, flexible=True).client_id == client_id


def test_unknown_tagged_fields_of_a_header_are_skipped() -> None:
    frame = memoryview(b"\0\x0c\0\4\0\0\0\7\xff\xff" + b"\2\x01\3abc\x09\0" + b"body")
    header = read_request_header(frame, flexible=True)
    assert bytes(frame[header.body_position :]) == b"body"


@pytest.mark.parametrize("size", range(10))
def test_a_header_cut_short_is_malformed(size: int) -> None:
    frame = memoryview(b"\0\x0c\0\4\0\0\0\7\0\2me\0")
    with pytest.raises(MalformedMessage):
        read_request_header(frame[:size], flexible=True)


def test_the_start_of_a_request_is_read_whatever_its_version() -> None:
    assert read_request_start(memoryview(b"\0\x12\x7f\xff\0\0\0\7???")) == (18, 32767, 7)
    with pytest.raises(MalformedMessage, match="a request of 7 bytes has no header"):
        read_request_start(memoryview(b"\0\x12\0\0\0\0\0"))


def test_a_flexible_response_has_tagged_fields_in_its_header() -> None:
    frame = encode_response(HEARTBEAT, 4, 7, HeartbeatResponse(error_code=27))
    assert frame == b"\0\0\0\x0c\0\0\0\7\0\0\0\0\0\0\x1b\0"
    assert read_response(HEARTBEAT, 4, memoryview(frame)[4:])[0] == 7


def test_a_response_to_api_versions_never_has() -> None:
    versions = [ApiVersion(api_key=18, min_version=0, max_version=4)]
    frame = encode_response(API_VERSIONS, 3, 7, ApiVersionsResponse(api_keys=versions))
    assert frame[:12] == b"\0\0\0\x13\0\0\0\7\0\0\2\0"
    assert read_response(API_VERSIONS, 3, memoryview(frame)[4:])[1].api_keys == versions


def test_an_unknown_version_is_told_with_those_known() -> None:
    with pytest.raises(UnsupportedVersion, match="ApiVersions version 5: known are 0 to 4"):
        API_VERSIONS.read_request(5, memoryview(b""))


def test_what_a_version_cannot_hold_is_told() -> None:
    chunks: list[bytes] = []
    with pytest.raises(UnwritableMessage, match="HeartbeatRequest v0: 'i' format requires"):
        HEARTBEAT.write_request(
            0, HeartbeatRequest(group_id="g", generation_id=2**31, member_id="m"), chunks
        )
    with pytest.raises(UnwritableMessage, match=r"v3: client_software_name has 32768 bytes: 32767"):
        API_VERSIONS.write_request(3, ApiVersionsRequest(client_software_name="a" * 32_768), chunks)
    with pytest.raises(UnwritableMessage, match="MetadataRequest v9: 'NoneType' object has no"):
        METADATA.write_request(9, MetadataRequest(topics=[MetadataRequestTopic(name=None)]), chunks)
    with pytest.raises(UnwritableMessage, match="surrogates not allowed"):
        METADATA.write_request(
            9, MetadataRequest(topics=[MetadataRequestTopic(name="\ud800")]), chunks
        )
