"""A few questions that librdkafka has no call for, over a connection of our own and our own codec.

These are the end of a leader epoch (KIP-101), without which nobody can tell whether a position is
still on the log's history; the size of partitions (KIP-113); and what `committed.py` asks. They are
rare, so each call makes its connections and closes them. Versions are those that Kafka 2.8 and later understand.

Connections are secured as librdkafka's are; see `security.py`.
"""

import secrets
import socket
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Final

from ..errors import LogError, UnknownTopic, Unreachable
from ..model import Offset, TopicPartition
from ..wire.api import Api, RequestT, ResponseT
from ..wire.error_codes import RETRIABLE, ErrorCode
from ..wire.errors import MalformedMessage
from ..wire.frames import LENGTH, encode_request, read_response
from ..wire.messages.describe_log_dirs import (
    DESCRIBE_LOG_DIRS,
    DescribableLogDirTopic,
    DescribeLogDirsRequest,
)
from ..wire.messages.metadata import (
    METADATA,
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
)
from ..wire.messages.offset_for_leader_epoch import (
    OFFSET_FOR_LEADER_EPOCH,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from .address import ClusterAddress
from .sasl import Credentials, login
from .security import security_of

METADATA_VERSION: Final = 9
EPOCH_VERSION: Final = 4
LOG_DIRS_VERSION: Final = 2
FRAME_BYTES_MAX: Final = 1 << 26
CONSUMER: Final = -1
"""The replica id of whoever is no replica: it sees up to the high watermark."""


class Direct:
    """Asks brokers, blocking. Each public method is one question."""

    def __init__(self, address: ClusterAddress) -> None:
        self._address = address

    def epoch_end_offset(self, partition: TopicPartition, leader_epoch: int) -> Offset:
        """Return where the largest leader epoch up to this one ended; -1 if there is none.

        Of an epoch that is still to come brokers know nothing, so they are asked for the present one.
        """
        host, port, present = self._leader(partition)
        wanted = OffsetForLeaderPartition(
            partition=partition.partition,
            current_leader_epoch=-1,
            leader_epoch=min(leader_epoch, present) if present >= 0 else leader_epoch,
        )
        request = OffsetForLeaderEpochRequest(
            replica_id=CONSUMER,
            topics=[OffsetForLeaderTopic(topic=partition.topic, partitions=[wanted])],
        )
        with self.connected(host, port) as connection:
            answer = self.ask(connection, OFFSET_FOR_LEADER_EPOCH, EPOCH_VERSION, request)
        found = answer.topics[0].partitions[0]
        _check(found.error_code, str(partition))
        return found.end_offset

    def sizes(self, topics: Mapping[str, int]) -> dict[TopicPartition, int]:
        """Return the bytes that partitions take where they lead, of topics by partition count."""
        metadata = self._metadata(topics)
        leaders = {
            TopicPartition(topic.name or "", each.partition_index): each.leader_id
            for topic in metadata.topics
            for each in topic.partitions
        }
        request = DescribeLogDirsRequest(
            topics=[
                DescribableLogDirTopic(topic=name, partitions=list(range(count)))
                for name, count in topics.items()
            ]
        )
        sizes: dict[TopicPartition, int] = {}
        for broker in metadata.brokers:
            with self.connected(broker.host, broker.port) as connection:
                answer = self.ask(connection, DESCRIBE_LOG_DIRS, LOG_DIRS_VERSION, request)
            for directory in answer.results:
                for topic in directory.topics:
                    for each in topic.partitions:
                        partition = TopicPartition(topic.name, each.partition_index)
                        if leaders.get(partition) == broker.node_id and not each.is_future_key:
                            sizes[partition] = each.partition_size
        return sizes

    def _leader(self, partition: TopicPartition) -> tuple[str, int, int]:
        """Return the leader's host and port, and its leader epoch."""
        metadata = self._metadata([partition.topic])
        brokers = {broker.node_id: (broker.host, broker.port) for broker in metadata.brokers}
        for topic in metadata.topics:
            _check(topic.error_code, str(partition))
            for each in topic.partitions:
                if each.partition_index == partition.partition:
                    if each.leader_id not in brokers:
                        raise Unreachable(f"{partition} has no leader now")
                    return (*brokers[each.leader_id], each.leader_epoch)
        raise UnknownTopic(f"there is no partition {partition}")

    def _metadata(self, topics: Collection[str]) -> MetadataResponse:
        request = MetadataRequest(
            topics=[MetadataRequestTopic(name=name) for name in topics],
            allow_auto_topic_creation=False,
        )
        return self.ask_any(METADATA, METADATA_VERSION, request)

    def ask_any(self, api: Api[RequestT, ResponseT], version: int, request: RequestT) -> ResponseT:
        """Ask the first broker that can be reached.

        Raises:
            Unreachable: none can.
        """
        failed: Exception | None = None
        for host, port in self._address.hosts_and_ports():
            try:
                with self.connected(host, port) as connection:
                    return self.ask(connection, api, version, request)
            except Unreachable as error:
                failed = error
        assert failed is not None
        raise failed

    def connected(self, host: str, port: int) -> socket.socket:
        """Connect to a broker.

        Raises:
            Unreachable: that can't be done.
            NotAuthorized: the broker won't have who asks.
            ConfigError: the settings ask for what only librdkafka's connections can do.
        """
        try:
            security = security_of(self._address.settings)
            connection = socket.create_connection((host, port), self._address.timeout_s)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if security.tls is not None:
                connection = security.tls.wrap_socket(connection, server_hostname=host)
        except OSError as error:
            raise Unreachable(f"the broker at {host}:{port} can't be reached: {error}") from None
        if security.credentials is not None:
            try:
                self._login(connection, security.credentials)
            except BaseException:
                connection.close()
                raise
        return connection

    @staticmethod
    def ask(
        connection: socket.socket, api: Api[RequestT, ResponseT], version: int, request: RequestT
    ) -> ResponseT:
        """Ask over a connection, and wait for the response.

        Raises:
            Unreachable: none comes, or none that makes sense.
        """
        try:
            connection.sendall(encode_request(api, version, 1, "millpond", request))
            (length,) = LENGTH.unpack(_receive(connection, LENGTH.size))
            if not 0 <= length <= FRAME_BYTES_MAX:
                raise LogError(f"{api.name}: the broker announces a response of {length} bytes")
            _correlation_id, response = read_response(
                api, version, memoryview(_receive(connection, length))
            )
        except (OSError, MalformedMessage) as error:
            raise Unreachable(
                f"{api.name}: the broker does not answer as it should: {error}"
            ) from None
        return response

    def _login(self, connection: socket.socket, credentials: Credentials) -> None:
        steps = login(credentials, secrets.token_urlsafe())
        step = next(steps)
        with suppress(StopIteration):
            while True:
                step = steps.send(self.ask(connection, step.api, step.version, step.request))


def _receive(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        chunk = connection.recv(length - len(data))
        if not chunk:
            raise ConnectionResetError("the broker closed the connection")
        data += chunk
    return bytes(data)


def _check(code: int, subject: str) -> None:
    error = ErrorCode(code)
    if error in {ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.INVALID_TOPIC_EXCEPTION}:
        raise UnknownTopic(f"there is no {subject}")
    if error in RETRIABLE:  # as while a partition's leader starts
        raise Unreachable(f"{subject}: {error.name}")
    if error is not ErrorCode.NONE:
        raise LogError(f"{subject}: {error.name}")
