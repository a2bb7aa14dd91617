"""Two small files that make the next opening quick, in Kafka's formats.

``recovery-point-offset-checkpoint`` tells up to where each partition is surely on disk, so that only
what lies beyond is scanned. ``.kafka_cleanshutdown`` tells that everything is, and is removed before
anything is written.
"""

from collections.abc import Mapping
from typing import Final

from ..model import Offset, TopicPartition
from ..storage.disk import Disk

RECOVERY_POINTS: Final = "recovery-point-offset-checkpoint"
CLEAN_SHUTDOWN: Final = ".kafka_cleanshutdown"

_VERSION: Final = "0"


def write_recovery_points(disk: Disk, points: Mapping[TopicPartition, Offset]) -> None:
    """Replace the checkpoint."""
    lines = [_VERSION, str(len(points))]
    lines += [f"{topic} {partition} {point}" for (topic, partition), point in points.items()]
    disk.replace(RECOVERY_POINTS, ("\n".join(lines) + "\n").encode())


def read_recovery_points(disk: Disk) -> dict[TopicPartition, Offset]:
    """Read the checkpoint.

    One that is missing or unreadable is no error: everything is scanned then.
    """
    try:
        version, count, *lines = disk.read(RECOVERY_POINTS).decode().splitlines()
        points = {}
        for line in lines:
            topic, partition, point = line.split(" ")
            points[TopicPartition(topic, int(partition))] = int(point)
    except (FileNotFoundError, ValueError):
        return {}
    return points if version == _VERSION and len(points) == int(count) else {}


def mark_clean(disk: Disk) -> None:
    """Note that all is on disk, as the last act."""
    disk.replace(CLEAN_SHUTDOWN, b'{"version":0,"brokerEpoch":-1}')


def take_clean_mark(disk: Disk) -> bool:
    """Say whether the log was closed cleanly, and take the mark away before writing begins."""
    if not disk.exists(CLEAN_SHUTDOWN):
        return False
    disk.remove(CLEAN_SHUTDOWN)
    disk.sync_directory("")
    return True
