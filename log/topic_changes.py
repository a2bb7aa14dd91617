"""What people say of topics' settings, and what they are told: for commands, and other front ends.

    settings = parse_settings(["retention.ms=5000", "cleanup.policy=compact"])
    wanted = altered(topic.config.given, put=settings, unset=["segment.ms"])
    for name, before, after in differences(topic.config, TopicConfig.parse(wanted, topic=topic.name)): …

Nothing here reads or writes anything; whoever has a broker or a directory carries it out.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .config import TopicConfig, check_setting_name
from .errors import ConfigError
from .topic_settings import TOPIC_SETTINGS


class DescribedSetting(NamedTuple):
    """One setting of a topic, for people. `is_own`: set on the topic, rather than a default."""

    name: str
    value: str
    is_own: bool
    meaning: str


class Difference(NamedTuple):
    """One setting that is to change."""

    name: str
    before: str
    after: str


def parse_settings(pairs: Iterable[str]) -> dict[str, str]:
    """Read settings that are written as ``name=value``.

    Raises:
        ConfigError: one has no '=', or is named twice. Names and values are checked elsewhere.
    """
    settings: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ConfigError(f"setting {pair!r} won't do: use name=value, as in retention.ms=5000")
        if name in settings:
            raise ConfigError(f"setting {name!r} is given twice: {settings[name]!r} and {value!r}")
        settings[name] = value.strip()
    return settings


def altered(
    given: Mapping[str, str], *, put: Mapping[str, str], unset: Iterable[str] = ()
) -> dict[str, str]:
    """Return a topic's settings with some put and others unset.

    Raises:
        ConfigError: one is to be both put and unset, or there is no such setting to unset.
    """
    wanted = {**given, **put}
    for name in unset:
        if name in put:
            raise ConfigError(f"setting {name!r} can't be both set to {put[name]!r} and unset")
        check_setting_name(name)
        wanted.pop(name, None)
    return wanted


def described(config: TopicConfig) -> list[DescribedSetting]:
    """Describe all settings that have an effect, those of the topic itself first."""
    settings = [
        DescribedSetting(name, value, name in config.given, TOPIC_SETTINGS[name].meaning)
        for name, value in config.to_mapping().items()
    ]
    return sorted(settings, key=lambda setting: (not setting.is_own, setting.name))


def differences(before: TopicConfig, after: TopicConfig) -> list[Difference]:
    """Return what changes in effect: nothing for a setting that is put to its default."""
    values = after.to_mapping()
    return [
        Difference(name, value, values[name])
        for name, value in before.to_mapping().items()
        if value != values[name]
    ]
