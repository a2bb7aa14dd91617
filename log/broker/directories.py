"""The partitions' directories: made many at a time, and removed.

What exists is decided by the metadata log; directories follow. A crash may leave some of them missing,
unfinished or left over; opening makes what is missing anew, and sweeps away the rest. So nothing here
must be atomic: it only has to be durable before the first record is taken.
"""

from collections.abc import Collection, Iterable

from ..errors import DirectoryTaken
from ..model import Timestamp, TopicPartition
from ..storage.checkpoints import METADATA_FILE
from ..storage.disk import Disk
from ..storage.opening import paths_of_new
from ..storage.partition_log import PartitionLog
from ..storage.segment import LOG
from .metadata import Metadata, Topic


def make_partitions(
    disk: Disk,
    partitions: Iterable[tuple[Topic, int]],
    *,
    leader_epoch: int,
    now: Timestamp,
) -> list[PartitionLog]:
    """Make empty partitions, which `check_vacant` has passed; durable on return."""
    made = [
        PartitionLog.create(
            disk,
            f"{topic.name}-{number}",
            TopicPartition(topic.name, number),
            topic.topic_id,
            topic.config,
            leader_epoch=leader_epoch,
            now=now,
            durable=False,
        )
        for topic, number in partitions
    ]
    if made:
        disk.sync_all([path for log in made for path in paths_of_new(log.directory)])
        disk.sync_directory("")
    return made


def check_vacant(disk: Disk, partitions: Iterable[tuple[Topic, int]]) -> None:
    """Refuse to make partitions where records are already, which somebody may miss.

    A directory without any was being made when the power went. In which order a file system keeps
    names that were not synced, nobody knows: so its `partition.metadata` may be missing or empty.

    Raises:
        DirectoryTaken: a directory holds segments.
    """
    existing = set(disk.list(""))
    for directory in (f"{topic.name}-{number}" for topic, number in partitions):
        for name in disk.list(directory) if directory in existing else ():
            if name.endswith(LOG) and disk.open(f"{directory}/{name}", create=False).size:
                raise DirectoryTaken(
                    f"{directory} holds segments, but no partition.metadata of this topic: "
                    "restore that file, or move the directory away to begin with an empty partition"
                )


def is_of_metadata(file: str) -> bool:
    """Say whether a damaged file is one that tells whose directory it is in."""
    return file.endswith(f"/{METADATA_FILE}")


def close_files(logs: Iterable[PartitionLog]) -> None:
    """Let go of partitions' files."""
    for log in logs:
        for segment in log.segments:
            segment.close()


def discard(disk: Disk, logs: Collection[PartitionLog]) -> None:
    """Remove the files of partitions that exist no longer; durable on return."""
    close_files(logs)
    for log in logs:
        disk.remove(log.directory)
    disk.sync_directory("")


def sweep(disk: Disk, metadata: Metadata) -> None:
    """Remove what is left of the partitions of topics that were removed."""
    removed = {topic.name for topic in metadata.removed.values()}
    for directory in disk.list(""):
        name, _, number = directory.rpartition("-")
        if name in removed and number.isdecimal():
            topic = metadata.topics.get(name)
            if topic is None or int(number) not in topic:
                disk.remove(directory)
