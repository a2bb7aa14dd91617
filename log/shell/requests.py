"""From a frame to its handler, and from what the handler returns to the bytes of a response.

ApiVersions in a version from the future is answered, so that the client learns what there is (KIP-511).
Whatever else can't be understood ends the connection: who answers it would have to guess where the
next request begins and what the client takes the response for.
"""

from time import monotonic_ns
from types import GeneratorType
from typing import Any, Final, Protocol

from ..broker.handlers.api_versions import unknown_version
from ..broker.node import Caller
from ..broker.waits import Disconnect
from ..errors import DiskFailed
from ..wire.api import Api
from ..wire.errors import UnsupportedVersion
from ..wire.frames import (
    API_VERSIONS_KEY,
    encode_response,
    read_request_header,
    read_request_start,
)
from .driver import Driver, Work

REQUEST_OVERHEAD_BYTES: Final = 1024
"""What a request is taken to hold beside its frame: a generator, its message, its answer."""


class Asker(Protocol):
    """Who sent a request and awaits the answer."""

    def caller(self, version: int, client_id: str | None) -> Caller:
        """Return the sender, as handlers see it."""

    def answered(self, answer: "Answer") -> None:
        """Take the answer, which is done."""

    def failed(self, reason: str, error: BaseException | None) -> None:
        """Hear that there will be no answer, for which somebody else is to blame; or we, by an error."""

    def leave(self) -> None:
        """Hear that there will be no answer, and that nothing is to be told about it here."""


class Answer:
    """The answer to one request: still to come, or waiting for its turn.

    Attributes:
        request_bytes: what the request holds while it is handled.
        response: the whole frame; empty if there is none, as with acks=0.
        done: whether the response is what it will be.
        work: the handling, while it waits.
    """

    __slots__ = (
        "_api",
        "_asker",
        "_begun_ns",
        "_correlation_id",
        "_driver",
        "_version",
        "done",
        "request_bytes",
        "response",
        "work",
    )

    def __init__(self, driver: Driver, asker: Asker, frame: memoryview) -> None:
        """Read what every request begins with.

        Raises:
            UnsupportedVersion, MalformedMessage.
        """
        api_key, self._version, self._correlation_id = read_request_start(frame)
        served = driver.node.served.get(api_key)
        if served is None:
            raise UnsupportedVersion(f"a request to API {api_key}, which is not served")
        self._begun_ns = monotonic_ns()
        self._driver = driver
        self._asker = asker
        self._api: Api[Any, Any] = served.api
        self.request_bytes = len(frame) + REQUEST_OVERHEAD_BYTES
        self.response = b""
        self.done = False
        self.work: Work | None = None

    def begin(self, frame: memoryview) -> None:
        """Read the request and let its handler begin.

        Raises:
            UnsupportedVersion, MalformedMessage: it is none. Other exceptions are faults of ours.
        """
        node, api, version = self._driver.node, self._api, self._version
        served = node.served[api.key]
        if not served.first <= version <= served.last:
            if api.key != API_VERSIONS_KEY:
                raise UnsupportedVersion(
                    f"{api.name} version {version}, where {served.first} to {served.last} are served"
                )
            self._version = 0
            self.finish(unknown_version(node), None)
            return
        header = read_request_header(frame, flexible=api.is_flexible(version))
        request = api.read_request(version, frame, header.body_position)
        try:
            result = served.handle(node, request, self._asker.caller(version, header.client_id))
        except Exception as error:  # noqa: BLE001 - as where a handler waits: it ends this connection only
            self.finish(None, error)
            return
        if type(result) is GeneratorType:
            self.work = self._driver.start(result, self.finish)
        else:
            self.finish(result, None)

    def finish(self, result: Any, error: Exception | None) -> None:
        """Take what the handler has returned or raised; None is no response at all."""
        self.done = True
        self.work = None
        if error is None and result is not None:
            try:
                self.response = encode_response(
                    self._api, self._version, self._correlation_id, result
                )
            except Exception as fault:  # noqa: BLE001 - the fault of one handler must not stop the others
                error = fault
        if isinstance(error, DiskFailed):
            self._driver.disk_failed(error)
            self._asker.leave()  # it is told by who stops the broker
        elif isinstance(error, Disconnect):
            self._asker.failed(f"{self._api.name}: {error}", None)
        elif error is not None:
            self._asker.failed(f"{self._api.name} version {self._version} failed", error)
        else:
            self._count(result)
            self._asker.answered(self)

    def _count(self, result: Any) -> None:
        counts = self._driver.node.metrics.api(self._api.key)
        counts.requests += 1
        counts.request_bytes += self.request_bytes - REQUEST_OVERHEAD_BYTES
        counts.response_bytes += len(self.response)
        counts.latency.observe((monotonic_ns() - self._begun_ns) // 1000)
        code = getattr(result, "error_code", 0)
        if code:
            counts.errors[code] += 1
