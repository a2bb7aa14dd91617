"""Topic settings: Kafka's names and defaults, and errors that say what would work."""

import pytest
from millpond.log.config import TopicConfig, check_topic_name
from millpond.log.errors import ConfigError


def test_nothing_given_means_kafkas_defaults() -> None:
    config = TopicConfig.parse({}, topic="t")
    assert config == TopicConfig()
    assert (config.cleanup_delete, config.cleanup_compact) == (True, False)
    assert (config.retention_ms, config.retention_bytes) == (604_800_000, None)
    assert config.to_mapping()["segment.bytes"] == "1073741824"


def test_settings_are_read_in_kafkas_words() -> None:
    config = TopicConfig.parse(
        {
            "cleanup.policy": "compact,delete",
            "retention.ms": "-1",
            "message.timestamp.type": "LogAppendTime",
            "min.cleanable.dirty.ratio": "0.1",
        },
        topic="t",
    )
    assert (config.cleanup_delete, config.cleanup_compact) == (True, True)
    assert config.retention_ms is None
    assert config.timestamp_type == "LogAppendTime"
    assert config.min_cleanable_dirty_ratio == 0.1


def test_what_was_given_comes_back() -> None:
    given = {"retention.ms": "5", "cleanup.policy": "compact"}
    mapping = TopicConfig.parse(given, topic="t").to_mapping()
    assert given.items() <= mapping.items()
    assert TopicConfig.parse(mapping, topic="t").to_mapping() == mapping


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cleanup.policy": "compcat"}, "cleanup.policy='compcat' won't do: use delete, compact"),
        ({"retention.ms": "1 week"}, "retention.ms='1 week' won't do: use a whole number"),
        ({"retention.ms": "-2"}, "or -1 for no limit"),
        ({"retention.ms": "1_000"}, "a whole number from 0"),
        ({"segment.bytes": "3"}, "from 14 to 2147483647"),
        ({"min.cleanable.dirty.ratio": "1.5"}, "a number from 0 to 1"),
        ({"compression.type": "brotli"}, "one of producer, uncompressed, gzip"),
        ({"retention.msec": "5"}, "did you mean retention.ms"),
        ({"segment_bytes": "5"}, "did you mean segment.bytes"),
        ({"zzz": "5"}, "there are cleanup.policy, compression.type"),
    ],
)
def test_a_mistake_is_shown_with_what_would_work(given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TopicConfig.parse(given, topic="orders")
    assert message in str(caught.value)
    assert "topic 'orders'" in str(caught.value)


def test_settings_that_only_kafka_needs_are_let_through() -> None:
    TopicConfig.parse({"preallocate": "true", "segment.jitter.ms": "5"}, topic="t")


@pytest.mark.parametrize("name", ["orders", "a.b_c-D9", "x" * 249, "__consumer_offsets", "..."])
def test_good_names_pass(name: str) -> None:
    check_topic_name(name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        (".", "directory"),
        ("..", "directory"),
        ("x" * 250, "at most 249"),
        ("a b/é", "' /é' is not allowed"),
        ("line\n", "is not allowed"),
    ],
)
def test_bad_names_are_refused(name: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        check_topic_name(name)
