"""Which leader epoch wrote which offsets of a partition.

A position is (leader epoch, offset), because the same offset may have been written twice: by a
leader that was lost with its unsynced tail, and by its successor. The history answers up to which
offset an epoch's records are part of this log.

Stored as `leader-epoch-checkpoint` in Kafka's format: a version line, a count, then one line with
epoch and start offset for each.

Source: KIP-101, KIP-279.
"""

from bisect import bisect_right
from typing import Final, NamedTuple

from ..model import Offset
from .disk import Disk

EPOCHS_FILE: Final = "leader-epoch-checkpoint"
_VERSION: Final = "0"
UNKNOWN: Final = -1


class EpochStart(NamedTuple):
    """From this offset on, records are of this epoch, until the next one starts."""

    leader_epoch: int
    start_offset: Offset


class EpochEnd(NamedTuple):
    """The offset behind the last record of an epoch; both -1 when nothing is known of it."""

    leader_epoch: int
    end_offset: Offset


class LeaderEpochs:
    """The epochs that have records in a partition, and the one that is to write next.

    An epoch is written to disk only when its first record is about to be appended: opening a
    thousand partitions must not cost a thousand fsyncs.
    """

    __slots__ = ("_changed", "_disk", "_path", "entries")

    def __init__(self, disk: Disk, directory: str, entries: list[EpochStart]) -> None:
        self._disk = disk
        self._path = f"{directory}/{EPOCHS_FILE}"
        self.entries = entries
        self._changed = False

    @classmethod
    def load(cls, disk: Disk, directory: str) -> "LeaderEpochs":
        """Read the checkpoint; what is missing in it, recovery adds from the batches."""
        path = f"{directory}/{EPOCHS_FILE}"
        entries: list[EpochStart] = []
        if disk.exists(path):
            for line in disk.read(path).decode().splitlines()[2:]:
                epoch, start = line.split()
                entries.append(EpochStart(int(epoch), int(start)))
        return cls(disk, directory, entries)

    @property
    def latest(self) -> int:
        """The epoch that writes now, or -1."""
        return self.entries[-1].leader_epoch if self.entries else UNKNOWN

    def begin(self, leader_epoch: int, start_offset: Offset) -> None:
        """Let `leader_epoch` write from `start_offset` on."""
        assert leader_epoch > self.latest, (leader_epoch, self.latest)
        while self.entries and self.entries[-1].start_offset >= start_offset:
            self.entries.pop()  # that epoch has written nothing
        self.entries.append(EpochStart(leader_epoch, start_offset))
        self._changed = True

    def save(self) -> None:
        """Make the history durable, if it changed. Must precede the first append of an epoch."""
        if self._changed:
            lines = [_VERSION, str(len(self.entries)), *(f"{e} {o}" for e, o in self.entries)]
            self._disk.replace(self._path, "".join(f"{line}\n" for line in lines).encode())
            self._changed = False

    def end_offset(self, leader_epoch: int, log_end_offset: Offset) -> Offset:
        """Return the end of the largest epoch ≤ `leader_epoch`, or -1 when none is that low."""
        following = bisect_right(self.entries, leader_epoch, key=_epoch)
        if following == 0:
            return UNKNOWN
        if following == len(self.entries):
            return log_end_offset
        return self.entries[following].start_offset

    def end_of(self, leader_epoch: int, log_end_offset: Offset) -> EpochEnd:
        """Return the largest known epoch ≤ this one, and its end, as other brokers are answered.

        Of an epoch older than all, the end is where the oldest begins. Nothing is said of one that
        is newer than all: whoever knows it, knows more than this log.

        Source: KIP-101, KIP-320.
        """
        if leader_epoch < 0 or leader_epoch > self.latest:
            return EpochEnd(UNKNOWN, UNKNOWN)
        following = bisect_right(self.entries, leader_epoch, key=_epoch)
        if following == 0:
            return EpochEnd(leader_epoch, self.entries[0].start_offset)
        known = self.entries[following - 1].leader_epoch
        if following == len(self.entries):
            return EpochEnd(known, log_end_offset)
        return EpochEnd(known, self.entries[following].start_offset)

    def epoch_of(self, offset: Offset) -> int:
        """Return the epoch that wrote this offset, or would; -1 when it is not known."""
        following = bisect_right(self.entries, offset, key=_start)
        return self.entries[following - 1].leader_epoch if following else UNKNOWN

    def truncate_end(self, offset: Offset) -> None:
        """Forget epochs that start at `offset` or after."""
        while self.entries and self.entries[-1].start_offset >= offset:
            self.entries.pop()
            self._changed = True

    def truncate_start(self, offset: Offset) -> None:
        """Forget epochs whose records all lie before `offset`."""
        while len(self.entries) > 1 and self.entries[1].start_offset <= offset:
            del self.entries[0]
            self._changed = True
        if self.entries and self.entries[0].start_offset < offset:
            self.entries[0] = EpochStart(self.entries[0].leader_epoch, offset)
            self._changed = True


def _epoch(entry: EpochStart) -> int:
    return entry.leader_epoch


def _start(entry: EpochStart) -> Offset:
    return entry.start_offset
