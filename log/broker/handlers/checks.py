"""What several APIs check in the same way."""

from ...model import Isolation
from ...storage.partition_log import PartitionLog
from ...wire.error_codes import ErrorCode
from ..waits import Disconnect


def isolation_of(level: int) -> Isolation:
    """Return which records a request wants to see.

    Raises:
        Disconnect: the level does not exist, and there is no place in a response to say so.
    """
    try:
        return Isolation(level)
    except ValueError:
        raise Disconnect(f"isolation level {level}: there are 0 and 1") from None


def epoch_error(log: PartitionLog, known_epoch: int) -> ErrorCode:
    """Say what is wrong with a client that believes this to be the partition's leader epoch.

    -1 is a client that doesn't say. Source: KIP-320.
    """
    if known_epoch < 0 or known_epoch == log.leader_epoch:
        return ErrorCode.NONE
    if known_epoch < log.leader_epoch:
        return ErrorCode.FENCED_LEADER_EPOCH
    return ErrorCode.UNKNOWN_LEADER_EPOCH
