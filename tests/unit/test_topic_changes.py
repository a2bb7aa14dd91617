"""What people say of settings, and what they are told."""

import pytest
from millpond.log.config import TopicConfig
from millpond.log.errors import ConfigError
from millpond.log.topic_changes import altered, described, differences, parse_settings


def config(**given: str) -> TopicConfig:
    settings = {name.replace("_", "."): value for name, value in given.items()}
    return TopicConfig.parse(settings, topic="orders")


def test_settings_are_read_as_they_are_written() -> None:
    assert parse_settings(["retention.ms=5", "cleanup.policy = compact,delete", "a=b=c"]) == {
        "retention.ms": "5",
        "cleanup.policy": "compact,delete",
        "a": "b=c",
    }


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["retention.ms"], "use name=value"),
        (["=5"], "use name=value"),
        (["retention.ms=5", "retention.ms=6"], "given twice: '5' and '6'"),
    ],
)
def test_what_is_no_setting_is_shown(pairs: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_settings(pairs)


def test_settings_are_put_and_unset_and_the_others_stay() -> None:
    given = {"retention.ms": "5", "segment.ms": "6", "segment.bytes": "7000"}
    wanted = altered(given, put={"retention.ms": "8"}, unset=["segment.ms", "retention.bytes"])
    assert wanted == {"retention.ms": "8", "segment.bytes": "7000"}


def test_a_slip_in_what_is_to_be_unset_is_shown() -> None:
    with pytest.raises(ConfigError, match=r"did you mean segment\.ms"):
        altered({"segment.ms": "6"}, put={}, unset=["segment_ms"])
    with pytest.raises(ConfigError, match="can't be both set to '8' and unset"):
        altered({}, put={"segment.ms": "8"}, unset=["segment.ms"])


def test_a_topic_s_own_settings_are_described_first() -> None:
    rows = described(config(segment_ms="9", retention_ms="5"))
    assert [(row.name, row.value) for row in rows if row.is_own] == [
        ("retention.ms", "5"),
        ("segment.ms", "9"),
    ]
    assert [row.is_own for row in rows] == sorted((row.is_own for row in rows), reverse=True)
    assert all(row.meaning for row in rows)


def test_what_changes_is_what_has_another_value_in_effect() -> None:
    before = config(segment_ms="9", retention_ms="5")
    after = config(segment_ms="10", cleanup_policy="delete")
    assert differences(before, after) == [
        ("retention.ms", "5", "604800000"),
        ("segment.ms", "9", "10"),
    ]
