"""What a process that does nothing but run an app changes in itself. Whoever embeds an app decides alone.

The garbage collector looks for cycles each time 700 more objects were made than freed. A worker makes
thousands of records, events and changes per run and frees them by reference count, so that search
finds nothing, again and again: it took 30% of a keyed count, and more of whatever keeps much in memory.
It is still needed, as the user's code may leave cycles behind, but a little later will do.
"""

import gc
from typing import Final

YOUNG_MAX: Final = 50_000
"""More than a fetch and its events are, less than a commit may be; as garbage, some 10 MB."""

YOUNG_COLLECTIONS: Final = 20
"""After so many the middle generation is searched too: after a million objects that stayed."""


def collect_garbage_rarely() -> None:
    """Call this once all is imported: what exists by then is taken to stay, and never searched."""
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, YOUNG_COLLECTIONS, 100)
