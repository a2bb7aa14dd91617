"""How an app runs, apart from what it does. All of it has defaults that are meant to be kept."""

from dataclasses import dataclass
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
        shutdown_timeout: how long agents may take to finish their current event on stop.
    """

    commit_interval: timedelta = timedelta(milliseconds=100)
    durability: Literal["fsync", "interval", "os"] = "fsync"
    partitions: int = 1
    fetch_bytes: int = 1 << 20
    state_memory_bytes: int = 256 << 20
    cache_memory_bytes: int = 64 << 20
    flush_interval: timedelta = timedelta(seconds=30)
    shutdown_timeout: timedelta = timedelta(seconds=30)

    def __post_init__(self) -> None:
        duration_ms(self.commit_interval, what="Settings.commit_interval")
        duration_ms(self.flush_interval, what="Settings.flush_interval")
        duration_ms(self.shutdown_timeout, what="Settings.shutdown_timeout")
        if self.durability not in ("fsync", "interval", "os"):
            raise ConfigError(
                f"Settings.durability: {self.durability!r} is none of 'fsync', 'interval', 'os'"
            )
        for name in ("partitions", "fetch_bytes", "state_memory_bytes", "cache_memory_bytes"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"Settings.{name}: {value!r} is not a whole number above 0")
