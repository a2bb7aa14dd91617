"""A broker's settings, in Kafka's names, defaults and units where Kafka has them.

    millpond broker --data ./data --set num.partitions=4 --set group.initial.rebalance.delay.ms=0

Where a default differs from Kafka's, the setting says why.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, get_type_hints

from ..errors import ConfigError
from ..topic_settings import BROKER_NAMES, topic_defaults


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Each field is Kafka's name with underscores for dots. Make one with `parse`."""

    node_id: int = 1

    auto_create_topics_enable: bool = True
    num_partitions: int = 1
    default_replication_factor: int = 1

    topic_defaults: Mapping[str, str] = field(default_factory=dict)
    """Of topics that don't say otherwise, such as `log.retention.hours` and `message.max.bytes`. Kept by
    the topics' own names."""

    log_retention_check_interval_ms: int = 300_000
    """How often records are looked for that are too old, or too many; first half a minute after the start."""

    fetch_max_bytes: int = 55 * 1024 * 1024
    """The most that one Fetch is answered with, whatever the client asks for."""
    max_incremental_fetch_session_cache_slots: int = 0
    """Fetch sessions are not kept: every client is content with session 0. Kafka: 1000."""

    socket_request_max_bytes: int = 104_857_600
    request_max_bytes_but_produce: int = 8 * 1024 * 1024
    """Ours: no request but Produce has reason to be larger."""
    max_connections: int = 10_000
    """Kafka: no limit. A connection takes some 4 kB here, and an open file."""
    connections_max_idle_ms: int = 600_000
    connection_bytes_in_flight: int = 32 * 1024 * 1024
    """Ours: requests of one connection that are being handled; beyond it, reading stops."""
    queued_max_request_bytes: int = 512 * 1024 * 1024
    """The same for all connections together. Kafka: no limit."""

    group_initial_rebalance_delay_ms: int = 300
    """How long the first rebalance of an empty group waits for more members. Kafka: 3000, which is
    what one waits for at every start of a program on a laptop."""
    group_min_session_timeout_ms: int = 6_000
    group_max_session_timeout_ms: int = 1_800_000
    group_max_size: int = 2**31 - 1
    group_consumer_session_timeout_ms: int = 45_000
    group_consumer_min_session_timeout_ms: int = 45_000
    group_consumer_max_session_timeout_ms: int = 60_000
    group_consumer_heartbeat_interval_ms: int = 5_000
    group_consumer_min_heartbeat_interval_ms: int = 5_000
    group_consumer_max_heartbeat_interval_ms: int = 15_000
    group_consumer_max_size: int = 2**31 - 1
    offset_metadata_max_bytes: int = 4096
    offsets_retention_minutes: int = 10_080
    offsets_retention_check_interval_ms: int = 600_000

    transaction_max_timeout_ms: int = 900_000
    transaction_abort_timed_out_transaction_cleanup_interval_ms: int = 10_000
    transactional_id_expiration_ms: int = 604_800_000

    @classmethod
    def parse(cls, mapping: Mapping[str, str]) -> "BrokerSettings":
        """Read settings by their dotted names.

        Raises:
            ConfigError: for an unknown name or an unusable value; the message shows what works.
        """
        types = get_type_hints(cls)
        known = {name.replace("_", "."): name for name in _own_names()}
        values: dict[str, Any] = {}
        for key, text in mapping.items():
            if key in known:
                values[known[key]] = _parsed(key, str(text), types[known[key]])
            elif key not in BROKER_NAMES:
                names = known.keys() | BROKER_NAMES
                close = difflib.get_close_matches(key, names, n=3) or sorted(names)
                raise ConfigError(
                    f"there is no broker setting {key!r}; there are {', '.join(close)}"
                )
        try:
            defaults = topic_defaults({key: str(text) for key, text in mapping.items()})
        except ValueError as error:
            raise ConfigError(f"broker setting {error}") from None
        return cls(topic_defaults=defaults, **values)

    def to_mapping(self) -> dict[str, str]:
        """Return all settings but topics' defaults by their dotted names."""
        return {name.replace("_", "."): _text(getattr(self, name)) for name in _own_names()}


def _own_names() -> list[str]:
    return [one.name for one in fields(BrokerSettings) if one.name != "topic_defaults"]


_TRUTH: Final[Mapping[str, bool]] = {"true": True, "false": False}


def _parsed(key: str, text: str, kind: type) -> int | bool:
    if kind is bool:
        if text.lower() not in _TRUTH:
            raise ConfigError(f"broker setting {key}={text!r} won't do: use true or false")
        return _TRUTH[text.lower()]
    try:
        value = int(text)
    except ValueError:
        raise ConfigError(f"broker setting {key}={text!r} won't do: use a whole number") from None
    if value < 0:
        raise ConfigError(f"broker setting {key}={text!r} won't do: use 0 or more")
    return value


def _text(value: int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
