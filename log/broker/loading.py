"""Opens the partitions of a data directory, and makes those that a power cut kept from being made."""

from ..errors import ConfigError, CorruptRecord
from ..model import Timestamp, TopicPartition
from ..storage.disk import Disk
from ..storage.partition_log import PartitionLog
from . import checkpoints
from .directories import check_vacant, discard, is_of_metadata, make_partitions
from .metadata import METADATA_PARTITION, Topic, metadata_topic


class Loading:
    """One opening of a data directory. With `read_only` nothing is written."""

    def __init__(self, disk: Disk, now: Timestamp, *, read_only: bool) -> None:
        self._disk = disk
        self._now = now
        self._read_only = read_only
        self._clean = not read_only and checkpoints.take_clean_mark(disk)
        self._recovery_points = checkpoints.read_recovery_points(disk)

    def metadata_log(self) -> PartitionLog:
        """Open the log of what exists, or make it.

        Raises:
            ConfigError: it is missing, and may not be made.
            CorruptRecord: it is damaged.
        """
        if self._read_only and not self._disk.exists(str(METADATA_PARTITION)):
            raise ConfigError("there is no log in this directory, so there is nothing to read")
        log = self.partition(metadata_topic(), 0, leader_epoch=0)
        if log is None:
            raise ConfigError("the log in this directory is only just being made; try again")
        return log

    def partition(self, topic: Topic, number: int, *, leader_epoch: int) -> PartitionLog | None:
        """Open a partition, or make it; None for a reader if another process is doing that.

        Raises:
            CorruptRecord: it is damaged.
            DirectoryTaken: it would have to be made where somebody's records are.
        """
        partition = TopicPartition(topic.name, number)
        try:
            log = PartitionLog.open(
                self._disk,
                str(partition),
                partition,
                topic.config,
                clean=self._clean,
                recovery_point=self._recovery_points.get(partition, 0),
                now=self._now,
                read_only=self._read_only,
            )
        except FileNotFoundError:
            if self._read_only:  # the process that writes is making or removing it
                return None
        except CorruptRecord as error:
            if self._read_only or not is_of_metadata(error.file):
                raise
        else:
            if log.topic_id == topic.topic_id:
                return log
            discard(self._disk, [log])  # of a topic of the same name that was removed
        check_vacant(self._disk, [(topic, number)])
        (made,) = make_partitions(
            self._disk, [(topic, number)], leader_epoch=leader_epoch, now=self._now
        )
        return made
