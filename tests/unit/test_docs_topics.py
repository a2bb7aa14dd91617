"""`docs/topics.md` says what the table of settings says."""

import re
from pathlib import Path

import millpond
from millpond.log.broker.metadata import PARTITIONS_MAX
from millpond.log.config import TOPIC_NAME_MAX, TopicConfig
from millpond.log.topic_settings import BROKER_NAMES, KEPT_WITHOUT_EFFECT, TOPIC_SETTINGS

PAGE = (Path(millpond.__path__[0]) / "docs" / "topics.md").read_text()


def test_every_setting_is_told_and_no_other() -> None:
    rows = [
        [cell.strip().strip("`") for cell in line.strip("|").split(" | ")]
        for line in PAGE.splitlines()
        if re.match(r"\| `[a-z.]+` \|", line)
    ]
    told = {name: rest for name, *rest in rows}
    assert told == {
        name: [setting.kind, setting.default, setting.broker_name, setting.meaning]
        for name, setting in TOPIC_SETTINGS.items()
    }


def test_what_has_no_effect_is_named() -> None:
    section = PAGE.partition("## What is kept, but has no effect")[2].partition("## ")[0]
    assert set(re.findall(r"`([a-z0-9.]+)`", section)) == KEPT_WITHOUT_EFFECT


def test_the_defaults_are_those_of_a_topic_without_settings() -> None:
    assert TopicConfig.parse({}, topic="t") == TopicConfig()
    given = {name: setting.default for name, setting in TOPIC_SETTINGS.items()}
    assert TopicConfig.parse(given, topic="t").to_mapping() == given


def test_names_for_brokers_and_limits_are_told() -> None:
    assert set(re.findall(r"`(log\.[a-z.]+)`", PAGE)) >= {
        name for name in BROKER_NAMES if name.startswith("log.")
    }
    assert f"| {PARTITIONS_MAX:,} |" in PAGE
    assert f"{TOPIC_NAME_MAX} of the characters" in PAGE
