"""What happens to transactions by the passing of time: overdue ones are aborted, unused ids forgotten."""

from typing import TYPE_CHECKING

from .waits import Handling

if TYPE_CHECKING:
    from .node import Node


class TransactionUpkeep:
    """Looks at all transactions every `transaction.abort.timed.out.….interval.ms`.

    Timeouts go by the wall clock, for they outlive a restart.
    """

    def __init__(self) -> None:
        self._due_ms = 0

    def next_due_ms(self) -> int | None:
        """Return when it is time to look again."""
        return self._due_ms

    def on_time(self, node: "Node") -> Handling[None]:
        """Abort what is overdue, forget ids that nobody has used for long."""
        settings = node.settings
        interval_ms = settings.transaction_abort_timed_out_transaction_cleanup_interval_ms
        self._due_ms = node.clock.elapsed_ms() + max(interval_ms, 1)
        node.transactions.complete_marked(node.now())
        yield from node.transactions.abort_overdue(
            node.now(), settings.transactional_id_expiration_ms
        )
