"""Commits to a cluster, one transaction each; what a transaction is made of, see `transactions.py`."""

from collections.abc import Mapping

import anyio

from ..interface import RecordsByPartition
from ..model import Appended, CommittedOffset, Compression, TopicPartition
from .transactions import Aborted, Transactions


class ClusterTransactionalProducer:
    """A `TransactionalProducer` over those transactions, of which it is the only user."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._turn = anyio.Lock(fast_acquire=True)

    async def commit(
        self,
        records: RecordsByPartition,
        *,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        compression: Compression = Compression.NONE,
    ) -> dict[TopicPartition, Appended]:
        async with self._turn:
            self._transactions.check()
            commit = await self._transactions.prepared(records, group, offsets, compression)
            if commit is None:
                return {}
            try:
                await self._transactions.carry_out([commit])
            except Aborted as aborted:
                raise aborted.cause from None
        return commit.appended()
