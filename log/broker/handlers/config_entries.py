"""Settings as responses describe them: a value, where it comes from, and what else would have given it.

A topic's setting is what was set on the topic; else the broker's default for all topics, set while it
runs or when it was started; else Kafka's default. All of these, in this order, are its *synonyms*.

Only settings that have an effect here are described, and those that were set although they have none.
Kafka describes some twenty more, which say how Kafka does things.

Source: KIP-133, KIP-226 (synonyms), KIP-569 (types and documentation).
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from ...config import TopicConfig
from ...topic_settings import TOPIC_SETTINGS, Kind
from ..metadata import Metadata
from ..settings import BrokerSettings


class ConfigSource(enum.IntEnum):
    """Where a setting's value comes from."""

    TOPIC = 1
    DYNAMIC_BROKER = 2
    DYNAMIC_DEFAULT_BROKER = 3
    STATIC_BROKER = 4
    DEFAULT = 5


class Synonym(NamedTuple):
    """A value that a setting has, or would have without those before."""

    name: str
    value: str
    source: ConfigSource


@dataclass(frozen=True, slots=True)
class ConfigEntry:
    """One setting. The first of its synonyms counts."""

    name: str
    synonyms: list[Synonym]
    config_type: int
    read_only: bool = False
    documentation: str | None = None

    @property
    def value(self) -> str:
        return self.synonyms[0].value

    @property
    def source(self) -> ConfigSource:
        return self.synonyms[0].source


Defaults: TypeAlias = Mapping[str, list[Synonym]]
"""Of each topic setting, by its name: its value without the topic, with all its synonyms."""

CONFIG_TYPES: Final[Mapping[Kind | Literal["boolean"], int]] = {
    "boolean": 1,
    "string": 2,
    "int": 3,
    "long": 5,
    "double": 6,
    "list": 7,
}
"""How the protocol numbers Kafka's types."""

_LAYERS: Final = (
    ConfigSource.DYNAMIC_BROKER,
    ConfigSource.DYNAMIC_DEFAULT_BROKER,
    ConfigSource.STATIC_BROKER,
)
"""Where the defaults come from that `Metadata.layers_of_defaults` names."""

_WITHOUT_EFFECT: Final = "Kept for tools that ask for it; it has no effect here."


def topic_entries(topic_config: TopicConfig, defaults: Defaults) -> list[ConfigEntry]:
    """Describe a topic's settings, by name; give it what `defaults_of_topics` has found."""
    given = topic_config.given
    entries = []
    for name in sorted(TOPIC_SETTINGS.keys() | given.keys()):
        synonyms = [Synonym(name, given[name], ConfigSource.TOPIC)] if name in given else []
        setting = TOPIC_SETTINGS.get(name)
        if setting is None:
            kind = CONFIG_TYPES["string"]
            entries.append(ConfigEntry(name, synonyms, kind, documentation=_WITHOUT_EFFECT))
            continue
        found = defaults[name]
        synonyms += found if topic_config.defaults else found[-1:]  # internal topics: Kafka's
        kind = CONFIG_TYPES[setting.kind]
        entries.append(ConfigEntry(name, synonyms, kind, documentation=setting.meaning))
    return entries


def defaults_of_topics(known: Metadata) -> Defaults:
    """Return what each setting is without the topic: the one that counts first."""
    layers = list(zip(known.layers_of_defaults(), _LAYERS, strict=True))
    return {
        name: [
            *(
                Synonym(setting.broker_name, defaults[name], source)
                for defaults, source in layers
                if name in defaults
            ),
            Synonym(setting.broker_name, setting.default, ConfigSource.DEFAULT),
        ]
        for name, setting in TOPIC_SETTINGS.items()
    }


def broker_entries(settings: BrokerSettings, topic_defaults: Defaults) -> list[ConfigEntry]:
    """Describe a broker's settings: its own, and the defaults that it gives to topics."""
    defaults = BrokerSettings().to_mapping()
    entries = []
    for name, value in settings.to_mapping().items():
        synonyms = [Synonym(name, defaults[name], ConfigSource.DEFAULT)]
        if value != defaults[name]:
            synonyms.insert(0, Synonym(name, value, ConfigSource.STATIC_BROKER))
        kind = CONFIG_TYPES["boolean" if value in {"true", "false"} else "long"]
        entries.append(ConfigEntry(name, synonyms, kind, read_only=True))
    for name, setting in TOPIC_SETTINGS.items():
        synonyms = topic_defaults[name]
        kind = CONFIG_TYPES[setting.kind]
        entries.append(
            ConfigEntry(setting.broker_name, synonyms, kind, documentation=setting.meaning)
        )
    return sorted(entries, key=lambda entry: entry.name)


def dynamic_entries(known: Metadata) -> list[ConfigEntry]:
    """Describe what was set for the whole cluster while it runs."""
    types = {setting.broker_name: setting.kind for setting in TOPIC_SETTINGS.values()}
    return [
        ConfigEntry(
            name,
            [Synonym(name, value, ConfigSource.DYNAMIC_DEFAULT_BROKER)],
            CONFIG_TYPES[types.get(name, "long")],
        )
        for name, value in sorted(known.dynamic_defaults.get("", {}).items())
    ]
