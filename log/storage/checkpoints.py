"""The small text files beside a partition's segments.

`partition.metadata` says to which topic the directory belongs (Kafka's format): a topic that was
deleted and made again has another id, so an old directory can't be taken for the new one's.

`log-start-offset-checkpoint` and `cleaner-offset-checkpoint` have Kafka's lines, but where Kafka has
one file for all partitions in the data root, we have one in each partition's directory: then a
partition is complete in itself, and changing one never rewrites the others'.
"""

import base64
from typing import Final
from uuid import UUID

from ..errors import CorruptRecord
from ..model import Offset, TopicPartition
from .disk import Disk

METADATA_FILE: Final = "partition.metadata"
LOG_START_FILE: Final = "log-start-offset-checkpoint"
CLEANER_FILE: Final = "cleaner-offset-checkpoint"
_VERSION: Final = "0"


def encode_topic_id(topic_id: UUID) -> str:
    """Write a topic id as Kafka does: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(topic_id.bytes).rstrip(b"=").decode()


def decode_topic_id(text: str) -> UUID:
    """Read a topic id. Raises ValueError."""
    return UUID(bytes=base64.urlsafe_b64decode(text + "=="))


def write_metadata(disk: Disk, directory: str, topic_id: UUID) -> None:
    """Write `partition.metadata`, which is yet to be synced."""
    text = f"version: {_VERSION}\ntopic_id: {encode_topic_id(topic_id)}\n"
    path = f"{directory}/{METADATA_FILE}"
    file = disk.open(f"{path}.tmp")
    file.truncate(0)
    file.append(text.encode())
    file.close()
    disk.rename(f"{path}.tmp", path)


def read_metadata(disk: Disk, directory: str, partition: TopicPartition) -> UUID:
    """Read the topic id of a partition's directory.

    Raises:
        CorruptRecord: the file doesn't say.
        FileNotFoundError: there is none.
    """
    path = f"{directory}/{METADATA_FILE}"
    text = disk.read(path).decode(errors="replace")
    fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    try:
        return decode_topic_id(fields["topic_id"])
    except (KeyError, ValueError) as error:
        raise CorruptRecord(partition, path, 0, "topic_id: <base64>", text) from error


def write_offset(
    disk: Disk, directory: str, name: str, partition: TopicPartition, offset: Offset
) -> None:
    """Write a checkpoint of one offset, durably."""
    text = f"{_VERSION}\n1\n{partition.topic} {partition.partition} {offset}\n"
    disk.replace(f"{directory}/{name}", text.encode())


def read_offset(disk: Disk, directory: str, name: str, partition: TopicPartition) -> Offset | None:
    """Read a checkpoint of one offset; None when there is none.

    Raises:
        CorruptRecord: the file is no checkpoint of this partition.
    """
    path = f"{directory}/{name}"
    if not disk.exists(path):
        return None
    text = disk.read(path).decode(errors="replace")
    lines = text.splitlines()
    expected = f"{partition.topic} {partition.partition} "
    if len(lines) != 3 or not lines[2].startswith(expected):
        raise CorruptRecord(partition, path, 0, f"{expected}<offset>", text)
    return int(lines[2].removeprefix(expected))
