"""Regular expressions over topic names, as members of consumer groups send them.

They are RE2's, as KIP-848 has it, matched against the whole name. A stranger's expression runs on the
broker's only thread, so it must not be able to hold that up: RE2 has no backreferences and takes
time proportional to the text, whatever the expression; and it is bounded in memory. Python's `re`
backtracks: `(a+)+$` against thirty letters takes it minutes, and no check of an expression tells
beforehand.

The broker's own topics (`__consumer_offsets` and its like) are never meant; Kafka gives them to
whoever subscribes to `.*` here, and leaves them out of the same subscription in the classic protocol.
"""

from collections.abc import Iterable
from typing import Final

import re2

MEMORY_BYTES_MAX: Final = 1 << 20
"""Of one expression while it is matched. RE2 refuses what is too large when it is compiled."""


class InvalidPattern(Exception):
    """It is no regular expression of RE2's; the message says why."""


def check_pattern(pattern: str) -> None:
    """Refuse what is no regular expression. Raises InvalidPattern."""
    _compiled(pattern)


def matching_topics(pattern: str, names: Iterable[str]) -> frozenset[str]:
    """Return the topics that a checked expression means."""
    matches = _compiled(pattern).fullmatch
    found = frozenset(name for name in names if matches(name.encode()) is not None)
    re2.purge()  # it would remember 128 expressions, with what matching them took
    return found


def _compiled(pattern: str) -> "re2._Regexp[bytes]":
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MEMORY_BYTES_MAX
    try:
        return re2.compile(pattern.encode(), options)
    except re2.error as error:
        (reason,) = error.args
        raise InvalidPattern(reason.decode(errors="replace")) from None
