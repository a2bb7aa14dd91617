"""Bytes of store keys sort exactly as the keys do, and none of several fields is another's prefix."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millpond.streams.types.store_keys import store_key_codec_for

ints = st.integers(-(2**63), 2**63 - 1) | st.integers(-300, 300)
texts = st.text(st.characters(codec="utf-8") | st.sampled_from("\x00\x01ÿ"), max_size=6)
blobs = st.binary(max_size=6) | st.lists(st.sampled_from([0, 1, 255]), max_size=6).map(bytes)
floats = st.floats(allow_nan=False)
times = st.datetimes(timezones=st.just(UTC))

KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, ints),
    (str, texts),
    (bytes, blobs),
    (float, floats),
    (bool, st.booleans()),
    (datetime, times),
    (tuple[str, int], st.tuples(texts, ints)),
    (tuple[bytes, str, bool], st.tuples(blobs, texts, st.booleans())),
    (tuple[str, tuple[bytes, float]], st.tuples(texts, st.tuples(blobs, floats))),
]


@pytest.mark.parametrize(("wanted", "keys"), KINDS, ids=[str(kind) for kind, _ in KINDS])
def test_bytes_sort_as_keys_do(wanted: Any, keys: st.SearchStrategy[Any]) -> None:
    codec = store_key_codec_for(wanted, what="test")

    @given(keys, keys)
    def check(a: Any, b: Any) -> None:
        data_a, data_b = codec.encode(a), codec.encode(b)
        assert (data_a < data_b) == (a < b)
        assert (data_a == data_b) == (a == b)
        assert codec.decode(data_a) == a
        if a != b and isinstance(a, tuple):
            assert not data_a.startswith(data_b)

    check()
