"""A connection to one broker that tasks wait on: one request at a time, in versions that both know.

It works on any event loop that anyio does, so a wait for an answer can be cancelled, which is what a
member of a group needs: a JoinGroup is answered when all others have joined, minutes later perhaps.
Rejected: blocking sockets in threads, as `direct.py` has for its short questions; a thread that waits
can only be ended by closing its socket under it.
"""

import math
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Self

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSStream

from ..errors import LogError, Unreachable
from ..wire.api import Api, RequestT, ResponseT
from ..wire.error_codes import ErrorCode
from ..wire.errors import MalformedMessage
from ..wire.frames import LENGTH, encode_request, read_response
from ..wire.messages.api_versions import API_VERSIONS, ApiVersionsRequest
from .address import ClusterAddress
from .sasl import Credentials, login
from .security import security_of

GREETING_BYTES_MAX: Final = 1 << 20
"""More than any broker tells of its versions. Who announces more is no broker."""

FRAME_BYTES_MAX: Final = (1 << 31) - 1
PORTS: Final = 1 << 16

FAILURES: Final = (
    OSError,
    MalformedMessage,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    anyio.IncompleteRead,
)
"""What a connection can come to."""


class BrokerConnection:
    """A connection that is open. Make it with `open`; after an error it is of no use."""

    def __init__(self, stream: anyio.abc.ByteStream, broker: str, client_id: str) -> None:
        self.broker = broker
        self._stream = stream
        self._received = BufferedByteReceiveStream(stream)
        self._client_id = client_id
        self._correlation_id = 0
        self._versions: Mapping[int, tuple[int, int]] = {}
        self._frame_bytes_max = GREETING_BYTES_MAX

    @classmethod
    async def open(cls, address: ClusterAddress, host: str, port: int, wait_s: float) -> Self:
        """Connect to a broker of a cluster, and ask what it knows.

        Raises:
            Unreachable: nobody is there who answers in time.
            NotAuthorized: the broker won't have who asks.
            ConfigError: the settings ask for what only librdkafka's connections can do.
        """
        broker = f"{host}:{port}"
        try:
            if not 0 <= port < PORTS:
                raise Unreachable(f"the broker at {broker} can't be reached: there is no such port")
            with anyio.fail_after(wait_s):
                security = security_of(address.settings)
                stream: anyio.abc.ByteStream = await anyio.connect_tcp(host, port)
                try:
                    if security.tls is not None:
                        stream = await TLSStream.wrap(
                            stream,
                            hostname=host,
                            ssl_context=security.tls,
                            standard_compatible=False,
                        )
                    client_id = str(address.settings.get("client.id", "millpond"))
                    connection = cls(stream, broker, client_id)
                    await connection._greet()
                    if security.credentials is not None:
                        await connection._login(security.credentials)
                except BaseException:
                    await _close(stream)
                    raise
        except TimeoutError:
            raise Unreachable(f"the broker at {broker} does not answer in {wait_s:g} s") from None
        except (*FAILURES, UnicodeError) as error:  # a name that can't be one of a host
            raise Unreachable(f"the broker at {broker} can't be reached: {_why(error)}") from None
        return connection

    async def ask(
        self,
        api: Api[RequestT, ResponseT],
        request: RequestT,
        wait_s: float = math.inf,
        version: int | None = None,
    ) -> ResponseT:
        """Send a request, in a version that `version` returned, and wait for the response.

        Raises:
            Unreachable: none comes in time, or none that makes sense.
            LogError: the broker has no version of it that is known here.
        """
        version = self.version(api) if version is None else version
        try:
            with anyio.fail_after(wait_s):
                return await self._ask(api, version, request)
        except TimeoutError:
            raise Unreachable(f"{self.broker} does not answer {api.name} in {wait_s:g} s") from None
        except FAILURES as error:
            raise Unreachable(
                f"{self.broker} does not answer {api.name} as it should: {_why(error)}"
            ) from None

    def version(self, api: Api[RequestT, ResponseT], at_most: int | None = None) -> int:
        """Return the version in which a request goes over this connection: the last that both know.

        Raises:
            LogError: there is none.
        """
        first, last = self._versions.get(api.key, (0, -1))
        version = min(last, api.last if at_most is None else at_most)
        if version < max(first, api.first):
            theirs = (
                f"only versions {first} to {last} of it" if last >= first else "no such request"
            )
            raise LogError(
                f"{self.broker} can't be asked {api.name}: it has {theirs}, and known here are "
                f"{api.first} to {api.last}"
            )
        return version

    async def close(self) -> None:
        """Close at once, whatever is on the way."""
        await _close(self._stream)

    async def _greet(self) -> None:
        answer = await self._ask(API_VERSIONS, 0, ApiVersionsRequest())
        if answer.error_code != ErrorCode.NONE:
            raise Unreachable(f"{self.broker}: {ErrorCode(answer.error_code).name}")
        self._versions = {
            each.api_key: (each.min_version, each.max_version) for each in answer.api_keys
        }
        self._frame_bytes_max = FRAME_BYTES_MAX

    async def _login(self, credentials: Credentials) -> None:
        steps = login(credentials, secrets.token_urlsafe())
        step = next(steps)
        with suppress(StopIteration):
            while True:
                step = steps.send(await self._ask(step.api, step.version, step.request))

    async def _ask(
        self, api: Api[RequestT, ResponseT], version: int, request: RequestT
    ) -> ResponseT:
        self._correlation_id += 1
        sent = self._correlation_id
        await self._stream.send(encode_request(api, version, sent, self._client_id, request))
        (length,) = LENGTH.unpack(await self._received.receive_exactly(LENGTH.size))
        if not 0 <= length <= self._frame_bytes_max:
            raise MalformedMessage(f"it announces a response of {length} bytes")
        frame = memoryview(await self._received.receive_exactly(length))
        answered, response = read_response(api, version, frame)
        if answered != sent:
            raise MalformedMessage(f"it answers request {answered}, and {sent} was asked")
        return response


async def _close(stream: anyio.abc.ByteStream) -> None:
    with anyio.CancelScope(shield=True):
        await anyio.aclose_forcefully(stream)


def _why(error: BaseException) -> str:
    """Return what a failure says, or of an attempt at several addresses, what the last one came to."""
    cause = error.__cause__
    if isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[-1]
    return str(cause or error) or "the connection is closed"
