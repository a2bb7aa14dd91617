"""Where a cluster is, and how librdkafka is set up: what a user may say, and what is ours to say.

A user's settings have librdkafka's names and pass through, except those on which the promises of
the interface rest. What librdkafka would print on stderr goes to the logger ``millpond.cluster``;
what matters of it becomes part of our errors (see `client.py`).

Source: librdkafka's CONFIGURATION.md.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from ..errors import ConfigError
from ..model import Compression

SCHEME: Final = "kafka://"
DEFAULT_PORT: Final = 9092
FORM: Final = "kafka://HOST:PORT, or kafka://HOST:PORT,HOST:PORT for several brokers of one cluster"

RESERVED: Final = frozenset(
    {
        "acks",
        "allow.auto.create.topics",
        "auto.offset.reset",
        "bootstrap.servers",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "enable.partition.eof",
        "isolation.level",
        "metadata.broker.list",
        "request.required.acks",
        "transactional.id",
    }
)
"""What a user may not set."""

BATCH_BYTES: Final = 1_000_000
"""As much goes into one batch; a larger record makes a batch of its own."""

TRANSACTION_TIMEOUT_MS: Final = 60_000

WORKER_TRANSACTION_TIMEOUT_MS: Final = 10_000
"""For so long may a worker that is killed amid a transaction hold up whoever gets its tasks
(`worker_producer.py`)."""

NUMBER_MAX: Final = 2**31 - 1

LOGGER: Final = logging.getLogger("millpond.cluster")
LOGGER.addHandler(logging.NullHandler())
"""Where librdkafka's messages go, instead of to stderr."""

Settings = Mapping[str, str | int | float | bool]


class FetchLimits(NamedTuple):
    """How long a broker may hold back a request for records, and how much it may answer."""

    wait_max_ms: int
    bytes_max: int
    partition_bytes_max: int


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """Where the brokers are, how to talk with them, and how long anything may take."""

    servers: tuple[str, ...]
    settings: Settings = field(default_factory=dict, repr=False)  # passwords are among them
    timeout_s: float = 30.0

    def __str__(self) -> str:
        return ", ".join(self.servers)

    def hosts_and_ports(self) -> Iterator[tuple[str, int]]:
        """Yield where the servers are."""
        for server in self.servers:
            host, _, port = server.rpartition(":")
            yield host.strip("[]"), int(port)

    @property
    def timeout_ms(self) -> int:
        return int(self.timeout_s * 1000)

    def common(self) -> dict[str, Any]:
        """Return what all clients are set up with."""
        return {
            "client.id": "millpond",
            "log_level": 3,
            "logger": LOGGER,
            "socket.nagle.disable": True,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1000,
            "topic.metadata.refresh.fast.interval.ms": 100,
            **self.settings,
            "bootstrap.servers": ",".join(self.servers),
        }

    def fetch_limits(self) -> FetchLimits:
        """Return what a request for records asks for; librdkafka's names, and their aliases, set it.

        Raises:
            ConfigError: a value is no number above 0, or none that a request can hold.
        """
        return FetchLimits(
            self._number(500, "fetch.wait.max.ms"),
            self._number(16 << 20, "fetch.max.bytes"),
            self._number(1 << 20, "fetch.message.max.bytes", "max.partition.fetch.bytes"),
        )

    def _number(self, default: int, *names: str) -> int:
        for name in names:
            if name in self.settings:
                value = str(self.settings[name])
                if not re.fullmatch("[0-9]{1,10}", value) or not 0 < int(value) <= NUMBER_MAX:
                    raise ConfigError(
                        f"setting {name!r} is a number from 1 to {NUMBER_MAX}, not {value!r}"
                    )
                return int(value)
        return default

    def producer(self, compression: Compression) -> dict[str, Any]:
        named = (
            {}
            if compression is Compression.NONE
            else {"compression.type": compression.name.lower()}
        )
        return {
            "linger.ms": 1,
            "topic.metadata.propagation.max.ms": 2000,
            "batch.size": BATCH_BYTES,
            "message.max.bytes": 1_000_000_000,  # each topic has its own limit, which we check
            "queue.buffering.max.messages": 1_000_000,
            "message.timeout.ms": self.timeout_ms,
            **self.common(),
            **named,
            "enable.idempotence": True,
        }

    def transaction_timeout_ms(self, default: int) -> int:
        """Return how long a transaction may be open."""
        return int(self.settings.get("transaction.timeout.ms", default))

    @property
    def compression(self) -> Compression:
        """How a transaction's records are compressed whose commit does not say."""
        named = self.settings.get(
            "compression.type", self.settings.get("compression.codec", "none")
        )
        return Compression[str(named).upper()]


def parse_address(url: str, settings: Settings, timeout_s: float) -> ClusterAddress:
    """Read what a user has written.

    Raises:
        ConfigError: that is no address, or a setting is ours.
    """
    if not url.startswith(SCHEME):
        raise ConfigError(f"{url!r} is no address of a cluster: write {FORM}")
    servers = tuple(
        _server(text.strip(), url) for text in url[len(SCHEME) :].rstrip("/").split(",")
    )
    for name in settings:
        if name in RESERVED:
            raise ConfigError(
                f"setting {name!r} can't be chosen: what the log promises depends on it. "
                "Settings are librdkafka's, such as security.protocol"
            )
    return ClusterAddress(servers, dict(settings), timeout_s)


def _server(text: str, url: str) -> str:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError:
        host, port = None, 0
    if not host or re.search(r"[/@?#\s]", text):
        raise ConfigError(f"{url!r} has {text!r} where a broker should be: write {FORM}")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
