"""What the codec costs, beside kio's and kafka-python's: `python -m bench.wire`.

Each line is one message through one codec, in microseconds: the best of several rounds, in one
process, one after the other. Ours includes header and frame; kio and kafka-python are spared them
when they write, and kio when it reads. kio reads in Rust, and writes in Python.
"""

import importlib
import io
import time
from collections.abc import Callable
from typing import Any

from millpond.log.wire.api import Api
from millpond.log.wire.frames import encode_request, encode_response, read_request_header
from millpond.log.wire.messages.api_versions import API_VERSIONS, ApiVersion, ApiVersionsResponse
from millpond.log.wire.messages.fetch import (
    FETCH,
    FetchableTopicResponse,
    FetchResponse,
    PartitionData,
)
from millpond.log.wire.messages.metadata import (
    METADATA,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from millpond.log.wire.messages.produce import (
    PRODUCE,
    PartitionProduceData,
    ProduceRequest,
    TopicProduceData,
)
from millpond.log.wire.schema import Message

ROUND_SECONDS = 0.05
ROUNDS = 9


def main() -> None:
    print(f"{'µs per message':44} {'ours':>8} {'kio':>8} {'kafka-python':>13}")
    versions = [ApiVersion(api_key=key, min_version=0, max_version=9) for key in range(60)]
    response(API_VERSIONS, 4, ApiVersionsResponse(api_keys=versions), "ApiVersions, 60 APIs")
    response(FETCH, 12, fetched(100_000), "Fetch, 1 partition × 100 kB")
    response(METADATA, 12, partitions(1000), "Metadata, 1000 partitions")
    request(PRODUCE, 9, produced(1000), "Produce, 1 partition × 1 kB")


def fetched(size: int) -> FetchResponse:
    """Return records of one partition."""
    data = PartitionData(
        partition_index=0,
        high_watermark=1000,
        last_stable_offset=1000,
        log_start_offset=0,
        aborted_transactions=None,
        records=b"r" * size,
    )
    topic = FetchableTopicResponse(topic="flights", partitions=[data])
    return FetchResponse(responses=[topic])


def partitions(count: int) -> MetadataResponse:
    """Return a topic of many partitions, with three replicas each."""
    topic = MetadataResponseTopic(
        name="flights",
        partitions=[
            MetadataResponsePartition(
                partition_index=index,
                leader_id=1,
                leader_epoch=5,
                replica_nodes=[1, 2, 3],
                isr_nodes=[1, 2, 3],
            )
            for index in range(count)
        ],
    )
    broker = MetadataResponseBroker(node_id=1, host="localhost", port=9092)
    return MetadataResponse(brokers=[broker], topics=[topic])


def produced(size: int) -> ProduceRequest:
    """Return a request to append a batch to one partition."""
    data = PartitionProduceData(index=0, records=b"r" * size)
    topic = TopicProduceData(name="flights", partition_data=[data])
    return ProduceRequest(acks=-1, timeout_ms=30_000, topic_data=[topic])


def response(api: Api[Any, Any], version: int, message: Message, what: str) -> None:
    """Measure writing a response."""
    body = encode_response(api, version, 1, message)
    header = 9 if api.is_flexible(version) and api is not API_VERSIONS else 8
    read, write = kio_codec(api, version, "response")
    entity, _ = read(body[header:], 0)
    other = kafka_python(api.response).decode(body[header:], version=version)
    other._header = None  # noqa: SLF001 - decoding leaves it out
    other.API_VERSION = version
    report(
        f"write {what} (v{version})",
        lambda: encode_response(api, version, 1, message),
        lambda: write(io.BytesIO(), entity),
        lambda: other.encode(version=version),
    )


def request(api: Api[Any, Any], version: int, message: Message, what: str) -> None:
    """Measure reading a request."""
    frame = memoryview(encode_request(api, version, 1, "producer-1", message))[4:]
    flexible = api.is_flexible(version)
    position = read_request_header(frame, flexible=flexible).body_position
    read, _ = kio_codec(api, version, "request")
    body = bytes(frame[position:])
    other = kafka_python(api.request)

    def ours() -> None:
        header = read_request_header(frame, flexible=flexible)
        api.read_request(version, frame, header.body_position)

    report(
        f"read {what} (v{version})",
        ours,
        lambda: read(body, 0),
        lambda: other.decode(frame, version=version, header=True),
    )


def kio_codec(api: Api[Any, Any], version: int, kind: str) -> tuple[Any, Any]:
    """Return kio's reader and writer."""
    index, serial = (
        importlib.import_module("kio.schema.index"),
        importlib.import_module("kio.serial"),
    )
    module = importlib.import_module(f"kio.schema.{index.api_key_map[api.key]}.v{version}.{kind}")
    entity = getattr(module, getattr(api, kind).__name__)
    return serial.entity_reader(entity), serial.entity_writer(entity)


def kafka_python(message: type[Message]) -> Any:
    """Return kafka-python's class."""
    for part in ("consumer", "metadata", "producer"):
        package = importlib.import_module(f"kafka.protocol.{part}")
        if found := getattr(package, message.__name__, None):
            return found
    raise LookupError(message.__name__)


def report(what: str, *ways: Callable[[], object]) -> None:
    """Print what each way takes."""
    ours, kio, kafka = (microseconds(way) for way in ways)
    print(f"{what:44} {ours:8.1f} {kio:8.1f} {kafka:13.1f}", flush=True)


def microseconds(way: Callable[[], object]) -> float:
    """Return what one call takes, in the best of several rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        calls, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < ROUND_SECONDS:
            for _ in range(20):
                way()
            calls += 20
        best = min(best, elapsed / calls)
    return best * 1e6


if __name__ == "__main__":
    main()
