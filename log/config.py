"""What may be set on a topic, in Kafka's names, defaults and units.

A setting that we don't know, or can't honour, is refused with the value shown: silently ignoring
`cleanup.policy=compcat` would cost someone their disk. Settings that Kafka knows and that have no
meaning here (such as `preallocate`) are accepted and kept, so that tools which copy topic
configurations between clusters keep working.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from .errors import ConfigError

INT32_MAX: Final = 2**31 - 1
INT64_MAX: Final = 2**63 - 1
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
class _Setting:
    """One topic setting: its default as Kafka writes it, and how its text is read.

    `parse` raises ValueError whose message says what would work.
    """

    default: str
    parse: Callable[[str], Any]


def _integer(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError(f"a whole number from {least} to {most}") from None
        if not least <= value <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return value

    return parse


def _or_unlimited(parse: Callable[[str], int]) -> Callable[[str], int | None]:
    def parse_or_none(text: str) -> int | None:
        if text.strip() == "-1":
            return None
        try:
            return parse(text)
        except ValueError as error:
            raise ValueError(f"{error}, or -1 for no limit") from None

    return parse_or_none


def _ratio(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("a number from 0 to 1") from None
    if not 0 <= value <= 1:
        raise ValueError("a number from 0 to 1")
    return value


def _choice(*values: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"one of {', '.join(values)}")
        return text

    return parse


def _policies(text: str) -> frozenset[str]:
    policies = frozenset(part.strip() for part in text.split(",")) - {""}
    if not policies <= {"delete", "compact"}:
        raise ValueError("delete, compact, or both as compact,delete")
    return policies


_COUNT = _integer(0, INT64_MAX)

_SETTINGS: Final[Mapping[str, _Setting]] = {
    "cleanup.policy": _Setting("delete", _policies),
    "compression.type": _Setting(
        "producer", _choice("producer", "uncompressed", "gzip", "snappy", "lz4", "zstd")
    ),
    "delete.retention.ms": _Setting("86400000", _COUNT),
    "index.interval.bytes": _Setting("4096", _integer(0, INT32_MAX)),
    "max.compaction.lag.ms": _Setting(str(INT64_MAX), _integer(1, INT64_MAX)),
    "max.message.bytes": _Setting("1048588", _integer(0, INT32_MAX)),
    "message.timestamp.after.max.ms": _Setting("3600000", _COUNT),
    "message.timestamp.before.max.ms": _Setting(str(INT64_MAX), _COUNT),
    "message.timestamp.type": _Setting("CreateTime", _choice("CreateTime", "LogAppendTime")),
    "min.cleanable.dirty.ratio": _Setting("0.5", _ratio),
    "min.compaction.lag.ms": _Setting("0", _COUNT),
    "min.insync.replicas": _Setting("1", _integer(1, INT32_MAX)),
    "retention.bytes": _Setting("-1", _or_unlimited(_COUNT)),
    "retention.ms": _Setting("604800000", _or_unlimited(_COUNT)),
    "segment.bytes": _Setting("1073741824", _integer(14, INT32_MAX)),
    "segment.ms": _Setting("604800000", _integer(1, INT64_MAX)),
}

_WITHOUT_EFFECT: Final = frozenset(
    {
        "compression.gzip.level",
        "compression.lz4.level",
        "compression.zstd.level",
        "file.delete.delay.ms",
        "flush.messages",
        "flush.ms",
        "follower.replication.throttled.replicas",
        "leader.replication.throttled.replicas",
        "local.retention.bytes",
        "local.retention.ms",
        "message.downconversion.enable",
        "message.format.version",
        "message.timestamp.difference.max.ms",
        "preallocate",
        "remote.storage.enable",
        "segment.index.bytes",
        "segment.jitter.ms",
        "unclean.leader.election.enable",
    }
)
"""Kafka's settings that say how Kafka does things, not what the topic promises: kept, not used."""


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """A topic's settings, checked. Make one with `parse`; the fields are named as Kafka's keys.

    None means no limit. `given` is what was set explicitly, in Kafka's words.
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

    @classmethod
    def parse(cls, mapping: Mapping[str, str], *, topic: str) -> "TopicConfig":
        """Read settings that use Kafka's names and units.

        Raises:
            ConfigError: for an unknown name or an unusable value; the message shows what works.
        """
        for key in mapping:
            if key not in _SETTINGS and key not in _WITHOUT_EFFECT:
                raise ConfigError(f"topic {topic!r}: {_unknown(key)}")
        values: dict[str, Any] = {}
        for key, setting in _SETTINGS.items():
            text = str(mapping.get(key, setting.default))
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
            **{
                key.removeprefix("message.").replace(".", "_"): value
                for key, value in values.items()
            },
        )

    def to_mapping(self) -> dict[str, str]:
        """Return all settings that have an effect, in Kafka's names, with defaults filled in."""
        return {key: self.given.get(key, setting.default) for key, setting in _SETTINGS.items()}


def _unknown(key: str) -> str:
    close = difflib.get_close_matches(key.replace("_", "."), _SETTINGS, n=3, cutoff=0.6)
    if close:
        return f"there is no setting {key!r}; did you mean {' or '.join(close)}?"
    return f"there is no setting {key!r}; there are {', '.join(_SETTINGS)}"
