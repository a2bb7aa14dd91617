"""Produce, versions 3 to 12: append one batch to each of some partitions.

Each partition has an answer of its own: one may be refused while the others are appended.

- Versions 0 to 2, of formats long gone, are named but not answered, as Kafka does: librdkafka takes
  their absence for the sign of a broker that knows no compression.
- `acks` 0 gets no response, 1 one at once, -1 one when the batches are durable. `timeout_ms` has
  nothing to bound here: no other broker is waited for. When a batch without response is refused, the
  connection is closed, which makes the client look for what is wrong.
- `min.insync.replicas` asks for no more replicas than the partition has, as in Kafka since 4.0: that
  is one.
- A retry of one of a producer's last five batches is answered with its first offset. An older one is
  OUT_OF_ORDER_SEQUENCE_NUMBER, as in Kafka since KIP-360; a producer that is not known may begin
  with any sequence.
- Transactional batches are taken when `transaction_guard.py` lets their partitions in. From version 12
  on it adds them to the transaction (KIP-890). That may have to wait; the requests of one producer
  are then admitted in the order in which they came.
- What a batch must be, and what of it is not looked at, is told in `storage/admission.py`. Behind it
  there may be the beginning of another, which is dropped, as in Kafka.

Source: KIP-98, KIP-360 (unknown producers), KIP-467 (error messages), KIP-110 (zstd).
"""

from collections.abc import Mapping
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from ...batch import (
    CODEC_MASK,
    HEADER_SIZE,
    MAGIC,
    SIZE_PREFIX,
    BatchHeader,
    WritableBuffer,
    read_header,
)
from ...coordinator.transaction_state import Identity
from ...errors import DamagedBatch, InvalidRecord, LogError
from ...model import Compression, Offset, TopicPartition
from ...storage.partition_log import PartitionLog
from ...wire.error_codes import ErrorCode
from ...wire.messages.produce import (
    PRODUCE,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceResponse,
)
from ..metrics import TopicCounts
from ..node import Caller, Node
from ..waits import Disconnect, Flush, Handling
from .failures import error_code
from .transaction_guard import refused_partitions

_ALL_ACKS: Final = -1
_ZSTD_SINCE: Final = 7
_LENGTH: Final = Struct(">8xi")


class _Arrival(NamedTuple):
    """A batch, and where it is to go."""

    log: PartitionLog
    batch: WritableBuffer
    head: BatchHeader


class _Refusal(NamedTuple):
    """Why nothing is appended to a partition."""

    code: ErrorCode
    message: str | None = None


_Verdict: TypeAlias = _Arrival | _Refusal


def produce(
    node: Node, request: ProduceRequest, caller: Caller
) -> Handling[ProduceResponse | None]:
    """Append what can be appended, and wait for the disk as far as `acks` asks for it."""
    verdicts = [
        [_looked_at(node, request, caller, topic.name, data) for data in topic.partition_data]
        for topic in request.topic_data
    ]
    touched: list[PartitionLog] = []
    transactional = _transactional(verdicts)
    if transactional:
        with node.producing.of(transactional[0].head.producer_id) as earlier:
            if earlier is not None:
                yield earlier
            refused = yield from _refused_by_coordinator(node, request, caller, transactional)
            verdicts = [[_unless(refused, verdict) for verdict in topic] for topic in verdicts]
            responses = _append_all(node, request, verdicts, touched)
    else:
        responses = _append_all(node, request, verdicts, touched)
    _count(node, verdicts, responses)
    if touched:
        yield touched if request.acks == _ALL_ACKS else Flush(touched)
    if request.acks:
        return ProduceResponse(responses=responses)
    _check_all_well(responses)
    return None


def _looked_at(
    node: Node, request: ProduceRequest, caller: Caller, topic: str, data: PartitionProduceData
) -> _Verdict:
    """Find the log, and say whether the request may send this batch there at all."""
    partition = TopicPartition(topic, data.index)
    try:
        known = node.broker.topic(topic)
        log = node.broker.partition(partition)
        batch, head = _one_batch(partition, data.records)
    except LogError as error:
        return _Refusal(error_code(error), str(error))
    if request.acks not in {_ALL_ACKS, 0, 1}:
        return _Refusal(ErrorCode.INVALID_REQUIRED_ACKS, f"acks {request.acks}: use 0, 1 or -1")
    if known.internal:
        return _Refusal(
            ErrorCode.INVALID_TOPIC_EXCEPTION, f"topic {topic!r} belongs to the broker itself"
        )
    if head.attributes & CODEC_MASK == Compression.ZSTD and caller.version < _ZSTD_SINCE:
        return _Refusal(
            ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
            f"zstd needs Produce version {_ZSTD_SINCE} or later, not {caller.version}",
        )
    return _Arrival(log, batch, head)


def _one_batch(
    partition: TopicPartition, records: memoryview | bytes | None
) -> tuple[WritableBuffer, BatchHeader]:
    """Return the one batch that there is, and its head. Nothing is checked but that.

    Offset and epoch are stamped into the request itself where it can be written to.

    Raises:
        DamagedBatch: what there is, is none.
        InvalidRecord: there is none, of an old format, or more than one.
    """
    if records is None or len(records) < HEADER_SIZE:
        raise InvalidRecord(f"{partition}: there is no record batch")
    head = read_header(records)
    if head.size < HEADER_SIZE or not 0 <= head.magic <= MAGIC:
        raise DamagedBatch(f"{partition}: {head.size} bytes of format {head.magic} are no batch")
    if head.magic != MAGIC:
        raise InvalidRecord(
            f"{partition}: batch format {head.magic} is not supported, only {MAGIC}"
        )
    behind = len(records) - head.size
    if behind < 0:
        raise InvalidRecord(f"{partition}: the batch lacks {-behind} of its {head.size} bytes")
    if behind >= SIZE_PREFIX and _LENGTH.unpack_from(records, head.size)[0] <= behind - SIZE_PREFIX:
        raise InvalidRecord(f"{partition}: more than one record batch")
    batch = records[: head.size]
    if isinstance(batch, memoryview) and not batch.readonly:
        return batch, head
    return bytearray(batch), head


# -- transactions ------------------------------------------------------------------------------


def _transactional(verdicts: list[list[_Verdict]]) -> list[_Arrival]:
    return [
        verdict
        for topic in verdicts
        for verdict in topic
        if isinstance(verdict, _Arrival) and verdict.head.is_transactional
    ]


def _refused_by_coordinator(
    node: Node, request: ProduceRequest, caller: Caller, arrivals: list[_Arrival]
) -> Handling[Mapping[TopicPartition, ErrorCode]]:
    """Ask the coordinator which partitions the transaction may write to; it must be one."""
    producers = {(each.head.producer_id, each.head.producer_epoch) for each in arrivals}
    partitions = [each.log.partition for each in arrivals]
    if request.transactional_id is None:
        return dict.fromkeys(partitions, ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    if len(producers) > 1:
        return dict.fromkeys(partitions, ErrorCode.INVALID_PRODUCER_ID_MAPPING)
    (producer,) = producers
    return (
        yield from refused_partitions(
            node, request.transactional_id, Identity(*producer), partitions, caller.version
        )
    )


def _unless(refused: Mapping[TopicPartition, ErrorCode], verdict: _Verdict) -> _Verdict:
    if isinstance(verdict, _Refusal) or not verdict.head.is_transactional:
        return verdict
    code = refused.get(verdict.log.partition)
    return verdict if code is None else _Refusal(code)


# -- appending ---------------------------------------------------------------------------------


def _append_all(
    node: Node, request: ProduceRequest, verdicts: list[list[_Verdict]], touched: list[PartitionLog]
) -> list[TopicProduceResponse]:
    return [
        TopicProduceResponse(
            name=topic.name,
            topic_id=topic.topic_id,
            partition_responses=[
                _appended(node, data.index, verdict, touched)
                for data, verdict in zip(topic.partition_data, those, strict=True)
            ],
        )
        for topic, those in zip(request.topic_data, verdicts, strict=True)
    ]


def _appended(
    node: Node, index: int, verdict: _Verdict, touched: list[PartitionLog]
) -> PartitionProduceResponse:
    if isinstance(verdict, _Refusal):
        return _failed(index, verdict.code, verdict.message)
    log = verdict.log
    if node.broker.partitions.get(log.partition) is not log:
        code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        return _failed(index, code, f"{log.partition} has just been removed")
    try:
        done = log.append(verdict.batch, leader_epoch=node.broker.leader_epoch, now=node.now())
    except LogError as error:
        return _failed(index, error_code(error), str(error), log.log_start_offset)
    touched.append(log)
    return PartitionProduceResponse(
        index=index,
        base_offset=done.base_offset,
        log_append_time_ms=done.append_time,
        log_start_offset=log.log_start_offset,
    )


def _failed(
    index: int, code: ErrorCode, message: str | None, log_start_offset: Offset = -1
) -> PartitionProduceResponse:
    return PartitionProduceResponse(
        index=index,
        error_code=code,
        base_offset=-1,
        log_start_offset=log_start_offset,
        error_message=message,
    )


def _count(
    node: Node, verdicts: list[list[_Verdict]], responses: list[TopicProduceResponse]
) -> None:
    """Count what went into each topic, and what did not."""
    for topic, those in zip(responses, verdicts, strict=True):
        counts: TopicCounts | None = None
        for one, verdict in zip(topic.partition_responses, those, strict=True):
            if one.error_code:
                node.metrics.api(PRODUCE.key).errors[one.error_code] += 1
            elif isinstance(verdict, _Arrival):
                counts = node.metrics.topic(topic.name)
                counts.bytes_in += len(verdict.batch)
                counts.records_in += verdict.head.record_count
        if counts is not None:
            counts.produce_requests += 1


def _check_all_well(responses: list[TopicProduceResponse]) -> None:
    for topic in responses:
        for one in topic.partition_responses:
            if one.error_code:
                raise Disconnect(
                    f"{topic.name}-{one.index}: {ErrorCode(one.error_code).name}, and acks=0 asks "
                    f"for no answer that could say so ({one.error_message})"
                )
