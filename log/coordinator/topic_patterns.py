"""Regular expressions over topic names, as members of consumer groups send them.

They are RE2's, as KIP-848 has it, matched against the whole name. A stranger's expression runs on the
broker's only thread, so it must not be able to hold that up. Python's `re` backtracks: `(a+)+$`
against thirty letters takes it minutes, and no check of an expression tells beforehand. RE2 takes
time proportional to the text.

But proportional to the expression too: where its automaton outgrows its memory, RE2 follows all ways
through the expression at once, and `(.?){900}` takes 16 ms for a name of 249 letters. In a set, be it
of one expression, it stays with the automaton and forgets of it what it must: 0.6 ms for that, and
2.5 µs for what people write.

The broker's own topics (`__consumer_offsets` and its like) are never meant; Kafka gives them to
whoever subscribes to `.*` here, and leaves them out of the same subscription in the classic protocol.
"""

from collections.abc import Iterable
from typing import Final

import re2

MEMORY_BYTES_MAX: Final = 1 << 20
"""Of one expression while it is matched: some 1,500 topic names in a row. More is refused."""


class InvalidPattern(Exception):
    """It is no regular expression of RE2's; the message says why."""


def check_pattern(pattern: str) -> None:
    """Refuse what is no regular expression. Raises InvalidPattern."""
    _matcher(pattern)


def matching_topics(pattern: str, names: Iterable[str]) -> frozenset[str]:
    """Return the topics that a checked expression means."""
    match = _matcher(pattern).Match
    return frozenset(name for name in names if match(name) is not None)


def _matcher(pattern: str) -> re2.Set:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MEMORY_BYTES_MAX
    matcher = re2.Set.FullMatchSet(options)
    try:
        matcher.Add(pattern)
        matcher.Compile()
    except re2.error:
        raise InvalidPattern(_why_not(pattern, options)) from None
    return matcher


def _why_not(pattern: str, options: re2.Options) -> str:
    """Return what is wrong, which a set does not say."""
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        (reason,) = error.args
        return str(reason, "utf-8", "replace")
    return f"it takes more than {MEMORY_BYTES_MAX} bytes of memory"
