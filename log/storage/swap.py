"""Putting compacted segments in the place of the ones they were made from.

A compacted segment is written as `<base>.log.cleaned`. Then, for each group of segments that became
one:

1. sync it and rename it to `<base>.log.swap`; sync the directory. From here on it counts.
2. Remove the old segments and all their indexes; sync the directory.
3. Rename it to `<base>.log`; sync the directory.

After a crash, a `.cleaned` file is dropped, and from a `.swap` file steps 2 and 3 are done again. An
old segment whose offsets all lie behind the last one that was kept may then stay: it is merely not
compacted yet, for what the newer half says was never weighed against what the older half had lost.
"""

from collections.abc import Iterable
from typing import Final

from ..model import Offset, TopicPartition
from .disk import Disk
from .segment import INDEX, LOG, SNAPSHOT, TIME_INDEX, TXN_INDEX, Segment, file_name

CLEANED: Final = ".log.cleaned"
SWAP: Final = ".log.swap"


def announce(disk: Disk, directory: str, base_offset: Offset) -> None:
    """Step 1: from now on the compacted segment is the truth."""
    disk.rename(
        f"{directory}/{file_name(base_offset, CLEANED)}",
        f"{directory}/{file_name(base_offset, SWAP)}",
    )
    disk.sync_directory(directory)


def install(disk: Disk, directory: str, base_offset: Offset, replaced: Iterable[Offset]) -> None:
    """Steps 2 and 3: remove the segments of these base offsets and take their place."""
    for old in replaced:
        for suffix in (INDEX, TIME_INDEX, TXN_INDEX, LOG):
            disk.remove(f"{directory}/{file_name(old, suffix)}")
        if old != base_offset:
            disk.remove(f"{directory}/{file_name(old, SNAPSHOT)}")
    disk.sync_directory(directory)
    disk.rename(
        f"{directory}/{file_name(base_offset, SWAP)}",
        f"{directory}/{file_name(base_offset, LOG)}",
    )
    disk.sync_directory(directory)


def recover(disk: Disk, directory: str, partition: TopicPartition) -> None:
    """Finish or undo what a crash interrupted."""
    names = disk.list(directory)
    for name in names:
        if name.endswith(CLEANED):
            disk.remove(f"{directory}/{name}")
    for name in names:
        if not name.endswith(SWAP):
            continue
        base_offset = int(name.removesuffix(SWAP))
        swapped = Segment(disk, directory, partition, base_offset, SWAP, create=False)
        last_offset = base_offset
        for place in swapped.places():
            last_offset = place.last_offset
        swapped.close()
        old = [int(log.removesuffix(LOG)) for log in names if log.endswith(LOG)]
        install(disk, directory, base_offset, [o for o in old if base_offset <= o <= last_offset])
