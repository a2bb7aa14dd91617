"""Regular expressions over topic names: RE2's, over the whole name, bounded."""

import pytest
from millpond.log.coordinator.topic_patterns import (
    InvalidPattern,
    check_pattern,
    matching_topics,
)

NAMES = ["orders", "orders-eu", "orders-us", "Orders", "my.orders", "a" * 249]


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("orders", {"orders"}),
        ("orders-.*", {"orders-eu", "orders-us"}),
        ("^orders(-eu)?$", {"orders", "orders-eu"}),
        ("(?i)ORDERS", {"orders", "Orders"}),
        (r"\Qmy.orders\E", {"my.orders"}),
        ("my.orders", {"my.orders"}),
        ("(a+)+", {"a" * 249}),
        ("(a*)*b", set()),
        ("(.?){900}", set(NAMES)),
        ("", set()),
    ],
)
def test_whole_names_are_matched(pattern: str, meant: set[str]) -> None:
    check_pattern(pattern)
    assert matching_topics(pattern, NAMES) == meant


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("a(b", r"missing \)"),
        (r"(a)\1", "invalid escape"),
        ("(?=a)", "invalid perl operator"),
        ("(((a{99}){99}){99})", "invalid repetition size"),
        (r"(\pL|\pN|-){100}", "too large"),
        ("|".join(f"orders-{number}-.*" for number in range(2000)), "memory|too large"),
    ],
)
def test_what_is_none_is_refused_with_the_reason(pattern: str, why: str) -> None:
    with pytest.raises(InvalidPattern, match=why):
        check_pattern(pattern)
