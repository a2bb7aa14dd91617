"""AddPartitionsToTxn (24): tell the coordinator which partitions a transaction will write to.

Clients use versions up to 3. From 4 on it is for brokers: many transactions at once, and the
question whether a partition is in one already.

    2   PRODUCER_FENCED may be answered (KIP-588)
    3   flexible
    4   many transactions; `verify_only` (KIP-890)
    5   TRANSACTION_ABORTABLE may be answered (KIP-890)

Source: the Kafka protocol, as of 4.1; KIP-98.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Bool, Int16, Int32, Int64, Message, Since, String, Until


class AddPartitionsToTxnTopic(Message):
    """One of `AddPartitionsToTxnTransaction.topics`."""

    name: String
    partitions: list[Int32]


class AddPartitionsToTxnTransaction(Message):
    """One of `AddPartitionsToTxnRequest.transactions`."""

    transactional_id: Annotated[String, Since(4)] = ""
    producer_id: Annotated[Int64, Since(4)] = 0
    producer_epoch: Annotated[Int16, Since(4)] = 0
    verify_only: Annotated[Bool, Since(4)] = False
    topics: Annotated[list[AddPartitionsToTxnTopic], Since(4)] = []


class AddPartitionsToTxnRequest(Message):
    """What a client asks."""

    transactions: Annotated[list[AddPartitionsToTxnTransaction], Since(4)] = []
    v3_and_below_transactional_id: Annotated[String, Until(3)] = ""
    v3_and_below_producer_id: Annotated[Int64, Until(3)] = 0
    v3_and_below_producer_epoch: Annotated[Int16, Until(3)] = 0
    v3_and_below_topics: Annotated[list[AddPartitionsToTxnTopic], Until(3)] = []


class AddPartitionsToTxnPartitionResult(Message):
    """One of `AddPartitionsToTxnTopicResult.results_by_partition`."""

    partition_index: Int32
    partition_error_code: Int16


class AddPartitionsToTxnTopicResult(Message):
    """One of `AddPartitionsToTxnResult.topic_results`."""

    name: String
    results_by_partition: list[AddPartitionsToTxnPartitionResult]


class AddPartitionsToTxnResult(Message):
    """One of `AddPartitionsToTxnResponse.results_by_transaction`."""

    transactional_id: Annotated[String, Since(4)] = ""
    topic_results: Annotated[list[AddPartitionsToTxnTopicResult], Since(4)] = []


class AddPartitionsToTxnResponse(Message):
    """What the broker answers."""

    throttle_time_ms: Int32 = 0
    error_code: Annotated[Int16, Since(4)] = 0
    results_by_transaction: Annotated[list[AddPartitionsToTxnResult], Since(4)] = []
    results_by_topic_v3_and_below: Annotated[list[AddPartitionsToTxnTopicResult], Until(3)] = []


ADD_PARTITIONS_TO_TXN: Final = Api(
    key=24,
    name="AddPartitionsToTxn",
    request=AddPartitionsToTxnRequest,
    response=AddPartitionsToTxnResponse,
    first=0,
    last=5,
    flexible_since=3,
)
"""AddPartitionsToTxn, as both sides know it."""
