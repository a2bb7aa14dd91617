"""How a transaction coordinator says that a producer has been replaced.

To old clients as to a partition: INVALID_PRODUCER_EPOCH. Newer ones tell the two apart: to this one
an answer is to begin anew, while PRODUCER_FENCED says that somebody else owns the transactional id
(KIP-588).
"""

from ...errors import Fenced, LogError, UnknownProducer
from ...wire.error_codes import ErrorCode
from ..node import Caller
from .failures import error_code


def coordinator_code(error: LogError, caller: Caller, fenced_since: int) -> ErrorCode:
    """Return the code for an error, where PRODUCER_FENCED is known from this version on."""
    if (
        isinstance(error, Fenced)
        and not isinstance(error, UnknownProducer)
        and caller.version >= fenced_since
    ):
        return ErrorCode.PRODUCER_FENCED
    return error_code(error)
