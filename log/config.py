"""What may be set on a topic, in Kafka's names, defaults and units.

A setting that we don't know, or can't honour, is refused with the value shown: silently ignoring
`cleanup.policy=compcat` would cost someone their disk. Settings that Kafka knows and that have no
meaning here (such as `preallocate`) are accepted and kept, so that tools which copy topic
configurations between clusters keep working.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from .errors import ConfigError
from .topic_settings import INT64_MAX, KEPT_WITHOUT_EFFECT, TOPIC_SETTINGS

TOPIC_NAME_MAX: Final = 249
"""Kafka's limit: with ``-`` and a partition number the directory name stays under 255 bytes."""

TimestampType: TypeAlias = Literal["CreateTime", "LogAppendTime"]

_TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]+")


def check_topic_name(name: str) -> None:
    """Refuse what Kafka refuses as a topic's name.

    Raises:
        ConfigError: saying which rule the name breaks.
    """
    if not name:
        raise ConfigError("a topic needs a name: '' is empty")
    if name in {".", ".."}:
        raise ConfigError(f"topic {name!r}: this names a directory of its own; choose another name")
    if len(name) > TOPIC_NAME_MAX:
        raise ConfigError(
            f"topic {name[:20]!r}…: {len(name)} characters, but at most {TOPIC_NAME_MAX} will do"
        )
    if not _TOPIC_NAME.fullmatch(name):
        wrong = "".join(sorted(set(re.sub(_TOPIC_NAME, "", name))))
        raise ConfigError(
            f"topic {name!r}: {wrong!r} is not allowed; use ASCII letters, digits, '.', '_' and '-'"
        )


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """A topic's settings, checked. Make one with `parse`; the fields are named as Kafka's keys.

    None means no limit. `given` is what was set explicitly, in Kafka's words, and `defaults` what the
    broker gives to all topics.
    """

    cleanup_delete: bool = True
    cleanup_compact: bool = False
    compression_type: str = "producer"
    delete_retention_ms: int = 86_400_000
    index_interval_bytes: int = 4096
    max_compaction_lag_ms: int = INT64_MAX
    max_message_bytes: int = 1_048_588
    timestamp_after_max_ms: int = 3_600_000
    timestamp_before_max_ms: int = INT64_MAX
    timestamp_type: TimestampType = "CreateTime"
    min_cleanable_dirty_ratio: float = 0.5
    min_compaction_lag_ms: int = 0
    min_insync_replicas: int = 1
    retention_bytes: int | None = None
    retention_ms: int | None = 604_800_000
    segment_bytes: int = 1_073_741_824
    segment_ms: int = 604_800_000
    given: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(
        cls, mapping: Mapping[str, str], *, topic: str, defaults: Mapping[str, str] | None = None
    ) -> "TopicConfig":
        """Read settings that use Kafka's names and units; `defaults` come before Kafka's.

        Raises:
            ConfigError: for an unknown name or an unusable value; the message shows what works.
        """
        for key in mapping:
            check_setting_name(key, topic=topic)
        defaults = defaults or {}
        values: dict[str, Any] = {}
        for key, setting in TOPIC_SETTINGS.items():
            text = str(mapping.get(key, defaults.get(key, setting.default)))
            try:
                values[key] = setting.parse(text)
            except ValueError as error:
                raise ConfigError(
                    f"topic {topic!r}: {key}={text!r} won't do: use {error}"
                ) from None
        policies = values.pop("cleanup.policy")
        return cls(
            cleanup_delete="delete" in policies,
            cleanup_compact="compact" in policies,
            given={key: str(value) for key, value in mapping.items()},
            defaults=defaults,
            **{
                key.removeprefix("message.").replace(".", "_"): value
                for key, value in values.items()
            },
        )

    def to_mapping(self) -> dict[str, str]:
        """Return all settings that have an effect, in Kafka's names, with defaults filled in."""
        return {
            key: self.given.get(key, self.defaults.get(key, setting.default))
            for key, setting in TOPIC_SETTINGS.items()
        }

    def with_defaults(self, defaults: Mapping[str, str], *, topic: str) -> "TopicConfig":
        """Return the same settings over other defaults."""
        return TopicConfig.parse(self.given, topic=topic, defaults=defaults)


def check_setting_name(key: str, *, topic: str | None = None) -> None:
    """Raise ConfigError for a setting that no topic has, showing those that are like it."""
    if key not in TOPIC_SETTINGS and key not in KEPT_WITHOUT_EFFECT:
        where = "" if topic is None else f"topic {topic!r}: "
        raise ConfigError(f"{where}{_unknown(key)}")


def _unknown(key: str) -> str:
    close = difflib.get_close_matches(key.replace("_", "."), TOPIC_SETTINGS, n=3, cutoff=0.6)
    if close:
        return f"there is no setting {key!r}; did you mean {' or '.join(close)}?"
    return f"there is no setting {key!r}; there are {', '.join(TOPIC_SETTINGS)}"
