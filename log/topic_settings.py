"""The table of topic settings: Kafka's names, types and defaults, and what each does here.

`config.py` makes a `TopicConfig` of them; tools that describe topics read the rest.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

INT32_MAX: Final = 2**31 - 1
INT64_MAX: Final = 2**63 - 1
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}")

Kind: TypeAlias = Literal["string", "int", "long", "double", "list"]
"""Kafka's type of a setting, of which tools ask."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One topic setting that we honour.

    Attributes:
        kind: Kafka's type of it.
        default: as Kafka writes it.
        parse: reads its text; raises ValueError whose message says what would work.
        broker_name: Kafka's name for the default that a broker gives to all topics.
        meaning: what it does here, for people.
    """

    kind: Kind
    default: str
    parse: Callable[[str], Any]
    broker_name: str
    meaning: str


def _integer(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        # int() would also take 1_000 and digits of other scripts, which other tools can't read.
        if not _NUMBER.fullmatch(text.strip()) or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return int(text)

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

TOPIC_SETTINGS: Final[Mapping[str, Setting]] = {
    "cleanup.policy": Setting(
        "list",
        "delete",
        _policies,
        "log.cleanup.policy",
        "What becomes of old records: `delete` removes them by age and size, `compact` keeps the "
        "latest of each key; both may be named.",
    ),
    "compression.type": Setting(
        "string",
        "producer",
        _choice("producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"),
        "compression.type",
        "How records are kept: as their producers compressed them, or all in this way.",
    ),
    "delete.retention.ms": Setting(
        "long",
        "86400000",
        _COUNT,
        "log.cleaner.delete.retention.ms",
        "How long compaction keeps tombstones and markers, so that a reader that began before can "
        "still see them.",
    ),
    "index.interval.bytes": Setting(
        "int",
        "4096",
        _integer(0, INT32_MAX),
        "log.index.interval.bytes",
        "How many bytes lie between two entries of a segment's index.",
    ),
    "max.compaction.lag.ms": Setting(
        "long",
        str(INT64_MAX),
        _integer(1, INT64_MAX),
        "log.cleaner.max.compaction.lag.ms",
        "After how long a record is compacted even if little is to be gained.",
    ),
    "max.message.bytes": Setting(
        "int",
        "1048588",
        _integer(0, INT32_MAX),
        "message.max.bytes",
        "The largest batch that is taken, compressed as it comes.",
    ),
    "message.timestamp.after.max.ms": Setting(
        "long",
        "3600000",
        _COUNT,
        "log.message.timestamp.after.max.ms",
        "How far ahead of the broker's clock a producer's timestamps may be.",
    ),
    "message.timestamp.before.max.ms": Setting(
        "long",
        str(INT64_MAX),
        _COUNT,
        "log.message.timestamp.before.max.ms",
        "How far behind the broker's clock a producer's timestamps may be.",
    ),
    "message.timestamp.type": Setting(
        "string",
        "CreateTime",
        _choice("CreateTime", "LogAppendTime"),
        "log.message.timestamp.type",
        "Whether records keep their producers' timestamps or get the time of the append.",
    ),
    "min.cleanable.dirty.ratio": Setting(
        "double",
        "0.5",
        _ratio,
        "log.cleaner.min.cleanable.ratio",
        "What share of a partition must be new since the last compaction for the next to begin.",
    ),
    "min.compaction.lag.ms": Setting(
        "long",
        "0",
        _COUNT,
        "log.cleaner.min.compaction.lag.ms",
        "How long a record is safe from compaction.",
    ),
    "min.insync.replicas": Setting(
        "int",
        "1",
        _integer(1, INT32_MAX),
        "min.insync.replicas",
        "How many replicas must have a record before a producer that asks for all of them hears so.",
    ),
    "retention.bytes": Setting(
        "long",
        "-1",
        _or_unlimited(_COUNT),
        "log.retention.bytes",
        "How large a partition may grow before its oldest segments go; -1: no limit.",
    ),
    "retention.ms": Setting(
        "long",
        "604800000",
        _or_unlimited(_COUNT),
        "log.retention.ms",
        "How old a segment's latest record may be before the segment goes; -1: no limit.",
    ),
    "segment.bytes": Setting(
        "int",
        "1073741824",
        _integer(14, INT32_MAX),
        "log.segment.bytes",
        "How large a segment grows before the next one begins. Old records go by whole segments.",
    ),
    "segment.ms": Setting(
        "long",
        "604800000",
        _integer(1, INT64_MAX),
        "log.roll.ms",
        "After how long a segment is followed by the next one even if it is small.",
    ),
}

KEPT_WITHOUT_EFFECT: Final = frozenset(
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
        "remote.log.copy.disable",
        "remote.log.delete.on.disable",
        "remote.storage.enable",
        "segment.index.bytes",
        "segment.jitter.ms",
        "unclean.leader.election.enable",
    }
)
"""Kafka's settings that say how Kafka does things, not what the topic promises: kept, not used."""

_COARSE: Final[Mapping[str, tuple[str, int]]] = {
    "log.retention.minutes": ("retention.ms", 60_000),
    "log.retention.hours": ("retention.ms", 3_600_000),
    "log.roll.hours": ("segment.ms", 3_600_000),
}
"""Older names of brokers' defaults, in coarser units; those in front count."""

BROKER_NAMES: Final = frozenset(
    {setting.broker_name for setting in TOPIC_SETTINGS.values()} | _COARSE.keys()
)
"""What brokers call the defaults that they give to topics."""


def topic_defaults(given: Mapping[str, str]) -> dict[str, str]:
    """Return topic settings for what a broker's settings say of all topics.

    Raises:
        ValueError: naming the setting, its value, and what would work.
    """
    defaults = {
        key: given[setting.broker_name]
        for key, setting in TOPIC_SETTINGS.items()
        if setting.broker_name in given
    }
    for name, (key, unit_ms) in _COARSE.items():
        if name in given and key not in defaults:
            text = given[name].strip()
            if not _NUMBER.fullmatch(text):
                raise ValueError(f"{name}={text!r} won't do: use a whole number")
            defaults[key] = text if text == "-1" else str(int(text) * unit_ms)
    for key, text in defaults.items():
        setting = TOPIC_SETTINGS[key]
        try:
            setting.parse(text)
        except ValueError as error:
            raise ValueError(f"{setting.broker_name}={text!r} won't do: use {error}") from None
    return defaults
