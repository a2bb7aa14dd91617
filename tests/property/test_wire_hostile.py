"""Bytes that mean harm, or nothing: refused with one kind of error, before anything is allocated."""

import struct
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from millpond.log.wire.errors import MalformedMessage
from millpond.log.wire.frames import read_request_header, read_response
from millpond.log.wire.messages.api_versions import API_VERSIONS
from millpond.log.wire.messages.create_topics import CREATE_TOPICS
from millpond.log.wire.messages.fetch import FETCH
from millpond.log.wire.messages.metadata import METADATA
from millpond.log.wire.messages.produce import PRODUCE
from millpond.log.wire.primitives import ELEMENTS_MAX, read_uvarint, skip_tags, uvarint
from millpond.tests.twins.messages import Case, all_cases, messages

CASES = [case for cases in all_cases().values() for case in cases]
BYTE = st.integers(0, 255)
HUGE = [2**31 - 1, 2**31, 2**32 - 1]


def peak_bytes(case: Case, data: bytes) -> int:
    """Return how much memory refusing these bytes takes at most."""
    with suppress(MalformedMessage):
        case.read(data)  # compiles
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessage):
            case.read(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@settings(max_examples=300, deadline=None)
@given(case=st.sampled_from(CASES), data=st.binary(max_size=200))
def test_random_bytes_are_a_message_or_malformed(case: Case, data: bytes) -> None:
    with suppress(MalformedMessage):
        case.read(data)


@pytest.mark.long
@settings(max_examples=50_000, deadline=None)
@given(case=st.sampled_from(CASES), data=st.binary(max_size=200))
def test_random_bytes_are_a_message_or_malformed_many(case: Case, data: bytes) -> None:
    with suppress(MalformedMessage):
        case.read(data)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_message_with_some_bytes_wrong_is_a_message_or_malformed(data: st.DataObject) -> None:
    spoil(data)


@pytest.mark.long
@settings(max_examples=20_000, deadline=None)
@given(data=st.data())
def test_a_message_with_some_bytes_wrong_is_a_message_or_malformed_many(
    data: st.DataObject,
) -> None:
    spoil(data)


def spoil(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(CASES))
    written = bytearray(case.write(data.draw(messages(case.message, case.version))))
    for _ in range(data.draw(st.integers(1, 3))):
        if written:
            position = data.draw(st.integers(0, min(len(written), 500) - 1))
            written[position] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | BYTE)
    with suppress(MalformedMessage):
        case.read(written)


@given(data=st.binary(max_size=60), flexible=st.booleans())
def test_random_bytes_are_a_header_or_malformed(data: bytes, flexible: bool) -> None:
    with suppress(MalformedMessage):
        read_request_header(memoryview(data), flexible=flexible)
    with suppress(MalformedMessage):
        read_response(METADATA, 12 if flexible else 0, memoryview(data))


@pytest.mark.parametrize("count", HUGE)
def test_an_array_that_cannot_fit_is_refused_before_anything_is_made(count: int) -> None:
    topics = Case(METADATA, METADATA.request, 12)
    assert peak_bytes(topics, uvarint(count) + b"\0" * 100) < 20_000
    brokers = Case(METADATA, METADATA.response, 12)
    assert peak_bytes(brokers, b"\0\0\0\0" + uvarint(count) + b"\0" * 100) < 20_000


@pytest.mark.parametrize("count", [2**31 - 1, 1_000_000, -2, -(2**31)])
def test_an_old_array_that_cannot_be_is_refused_before_anything_is_made(count: int) -> None:
    topics = Case(METADATA, METADATA.request, 1)
    assert peak_bytes(topics, struct.pack(">i", count) + b"\0" * 100) < 20_000


@pytest.mark.parametrize("count", [2**31 - 1, 2**28])
def test_integers_that_cannot_fit_are_refused_before_anything_is_made(count: int) -> None:
    partition = b"\0\0" + b"\0\0\0\0" * 3 + uvarint(count)
    topic = b"\0\0" + uvarint(2) + b"t" + b"\0" * 16 + b"\0" + uvarint(2) + partition
    response = b"\0\0\0\0" + uvarint(1) + b"\0" + b"\0\0\0\1" + uvarint(2) + topic
    assert peak_bytes(Case(METADATA, METADATA.response, 12), response + b"\0" * 100) < 20_000


@pytest.mark.parametrize("length", HUGE)
def test_records_that_cannot_fit_are_refused_before_anything_is_made(length: int) -> None:
    topic = uvarint(2) + b"t" + uvarint(2) + b"\0\0\0\0" + uvarint(length)
    request = b"\0" + b"\xff\xff" + b"\0\0\0\0" + uvarint(2) + topic + b"\0" * 100
    assert peak_bytes(Case(PRODUCE, PRODUCE.request, 9), request) < 20_000


@pytest.mark.parametrize("size", HUGE)
def test_a_tagged_field_that_cannot_fit_is_refused_before_anything_is_made(size: int) -> None:
    unknown = b"\1\1\1" + uvarint(99) + uvarint(size) + b"\0" * 100
    request = Case(API_VERSIONS, API_VERSIONS.request, 3)
    assert peak_bytes(request, b"\1\1\1" + unknown[3:]) < 20_000
    features = b"\0\0" + b"\1" + b"\0\0\0\0" + b"\1" + b"\0" + uvarint(size) + b"\0" * 100
    assert peak_bytes(Case(API_VERSIONS, API_VERSIONS.response, 3), features) < 20_000


def test_all_arrays_of_a_message_share_one_allowance() -> None:
    request = Case(FETCH, FETCH.request, 4)
    start = struct.pack(">iiiib", -1, 0, 0, 0, 0)
    topic = b"\0\1t" + struct.pack(">i", ELEMENTS_MAX // 2) + bytes(16 * (ELEMENTS_MAX // 2))
    with pytest.raises(MalformedMessage, match="partitions, more than 1000000 elements"):
        request.read(start + struct.pack(">i", 2) + topic + topic)


def test_an_array_above_the_allowance_is_refused_before_anything_is_made() -> None:
    request = Case(FETCH, FETCH.request, 4)
    start = struct.pack(">iiiib", -1, 0, 0, 0, 0)
    topics = struct.pack(">i", ELEMENTS_MAX + 1) + bytes(6 * (ELEMENTS_MAX + 1))
    assert peak_bytes(request, start + topics) < 20_000


def test_the_smallest_element_becomes_an_object_of_at_most_300_bytes() -> None:
    count = 10_000
    request = Case(FETCH, FETCH.request, 4)
    topics = struct.pack(">iiiib", -1, 0, 0, 0, 0) + struct.pack(">i", count) + bytes(6 * count)
    request.read(topics)
    tracemalloc.start()
    try:
        read = request.read(topics)
        assert tracemalloc.get_traced_memory()[1] < count * 300
    finally:
        tracemalloc.stop()
    assert len(read.topics) == count  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x80\x80\x80\x80\x80\x01", "more than five bytes"),
        (b"\xff\xff\xff\xff\x1f", "more than 32 bits"),
        (b"\xff" * 100, "more than five bytes"),
    ],
)
def test_a_varint_has_at_most_five_bytes_and_32_bits(data: bytes, why: str) -> None:
    with pytest.raises(MalformedMessage, match=why):
        read_uvarint(memoryview(data), 0)


@given(st.integers(0, 2**32 - 1))
def test_a_varint_comes_back(value: int) -> None:
    data = uvarint(value)
    assert read_uvarint(memoryview(data), 0) == (value, len(data))


def test_four_thousand_million_tags_end_with_the_bytes() -> None:
    with pytest.raises(IndexError):
        skip_tags(memoryview(b"\xff\xff\xff\xff\x0f" + b"\1\0" * 1000), 0)


def test_a_tagged_field_must_end_where_it_says() -> None:
    head = b"\0\0" + b"\1" + b"\0\0\0\0" + b"\1"
    epoch = b"\0\0\0\0\0\0\0\7"
    response = Case(API_VERSIONS, API_VERSIONS.response, 3)
    read = response.read(head + b"\1\x08" + epoch)
    assert read.finalized_features_epoch == 7  # type: ignore[attr-defined]
    for said, content in ((7, epoch), (9, epoch + b"\0")):
        with pytest.raises(MalformedMessage, match=r"finalized_features_epoch|ends at"):
            response.read(head + b"\1" + bytes([said]) + content)


def test_text_must_be_utf_8() -> None:
    with pytest.raises(MalformedMessage, match="UTF-8"):
        Case(METADATA, METADATA.request, 1).read(b"\0\0\0\1" + b"\0\2\xc3\x28" + b"")


def test_null_is_refused_where_none_may_be() -> None:
    name_null = b"\0\0\0\1" + b"\xff\xff"
    with pytest.raises(MalformedMessage, match="name has the length -1: it may not be null"):
        Case(CREATE_TOPICS, CREATE_TOPICS.request, 2).read(name_null + b"\0" * 20)


def test_a_string_has_at_most_32767_bytes_in_compact_versions_too() -> None:
    name = b"a" * 32_768
    request = uvarint(2) + b"\0" * 16 + uvarint(len(name) + 1) + name + b"\0" * 3
    with pytest.raises(MalformedMessage, match="a string of 32768 bytes: 32767 are allowed"):
        Case(METADATA, METADATA.request, 12).read(request)
