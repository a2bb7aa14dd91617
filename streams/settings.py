"""How an app runs, apart from what it does. All of it has defaults that are meant to be kept."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from ..log.errors import ConfigError
from .timestamps import duration_ms


@dataclass(frozen=True, slots=True)
class Settings:
    """Tuning of a worker.

    Attributes:
        commit_interval: how long work may be uncommitted. Shorter: less to repeat after a crash,
            and results are visible sooner. Longer: fewer transactions. When commits themselves take
            more than a tenth of it, they become rarer, down to one in ten intervals.
        durability: ``fsync``: what is acknowledged is on disk. ``interval``: synced a few times a
            second; a power cut can lose the last moment, a killed process loses nothing. ``os``:
            the operating system writes when it likes.
        partitions: of topics that declare none and do not exist yet.
        fetch_bytes: how much is read from the log at a time, for each task.
        state_memory_bytes: for RocksDB's cache and write buffers, of all tasks together.
        cache_memory_bytes: for tables' values kept as objects, of all tasks together.
        flush_interval: how often stores are flushed to disk. After a crash, what was committed
            since is read again from the changelogs.
        shutdown_timeout: how long agents may take to finish their current event on stop, or before a
            task moves to another worker.
        client: on a cluster: settings of librdkafka, by its names, such as ``security.protocol``.
        guarantee: ``exactly_once``; or ``at_least_once``, on a cluster without transactions: after a
            crash, what was done since the last commit is done again, and counted again.
        session_timeout: on a cluster: how long a worker may be unheard of before its tasks are given to
            others. Brokers accept 6 s and more.
        standby_replicas: on a cluster: how many workers beside its own follow each task's state, to
            take the task over without restoring it.
        instance: on a cluster: names this worker for good, so that its tasks wait for it while it is
            restarted, for as long as `session_timeout`. Each worker of an app needs another one.
    """

    commit_interval: timedelta = timedelta(milliseconds=100)
    durability: Literal["fsync", "interval", "os"] = "fsync"
    partitions: int = 1
    fetch_bytes: int = 1 << 20
    state_memory_bytes: int = 256 << 20
    cache_memory_bytes: int = 64 << 20
    flush_interval: timedelta = timedelta(seconds=30)
    shutdown_timeout: timedelta = timedelta(seconds=30)
    client: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    guarantee: Literal["exactly_once", "at_least_once"] = "exactly_once"
    session_timeout: timedelta = timedelta(seconds=10)
    standby_replicas: int = 0
    instance: str | None = None

    def __post_init__(self) -> None:
        duration_ms(self.commit_interval, what="Settings.commit_interval")
        duration_ms(self.flush_interval, what="Settings.flush_interval")
        duration_ms(self.shutdown_timeout, what="Settings.shutdown_timeout")
        duration_ms(self.session_timeout, what="Settings.session_timeout")
        if self.durability not in ("fsync", "interval", "os"):
            raise ConfigError(
                f"Settings.durability: {self.durability!r} is none of 'fsync', 'interval', 'os'"
            )
        if self.guarantee not in ("exactly_once", "at_least_once"):
            raise ConfigError(
                f"Settings.guarantee: {self.guarantee!r} is neither 'exactly_once' nor 'at_least_once'"
            )
        if not isinstance(self.standby_replicas, int) or self.standby_replicas < 0:
            raise ConfigError(
                f"Settings.standby_replicas: {self.standby_replicas!r} is not a whole number from 0 on"
            )
        if self.instance is not None and not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", self.instance):
            raise ConfigError(
                f"Settings.instance: {self.instance!r} is not 1 to 200 letters, digits, '.', '_' or '-'"
            )
        for name in ("partitions", "fetch_bytes", "state_memory_bytes", "cache_memory_bytes"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"Settings.{name}: {value!r} is not a whole number above 0")
