"""A broker that answers as it is told: what a real one does rarely, or an older one.

    async with ScriptedBroker({HEARTBEAT: lambda request: HeartbeatResponse(error_code=22)}) as broker:
        ...

It speaks the real protocol over a real socket, one request at a time on each connection. `asked` has all
that clients have asked it, in order, but what connections begin with: ApiVersions and FindCoordinator.
What it is told to answer with `None` stays unanswered.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream
from millpond.log.wire.api import Api
from millpond.log.wire.frames import (
    LENGTH,
    encode_response,
    read_request_header,
    read_request_start,
)
from millpond.log.wire.messages.api_versions import API_VERSIONS, ApiVersion, ApiVersionsResponse
from millpond.log.wire.messages.find_coordinator import (
    FIND_COORDINATOR,
    Coordinator,
    FindCoordinatorResponse,
)
from millpond.log.wire.schema import Message

AnyApi = Api[Any, Any]
Answer = Callable[[Any], Message | None]


def in_turn(*responses: Message | None) -> Answer:
    """Answer with each of these once, and with the last one from then on."""

    def all_responses() -> Iterator[Message | None]:
        yield from responses
        while True:
            yield responses[-1]

    following = all_responses()
    return lambda _request: next(following)


class ScriptedBroker:
    """A context manager: accepts connections inside."""

    def __init__(
        self, answers: Mapping[AnyApi, Answer], versions: Mapping[AnyApi, int] | None = None
    ) -> None:
        """Say how it answers.

        Args:
            answers: to each API that it has.
            versions: the last version that it has of some of them; of others, all.
        """
        self.asked: list[Message] = []
        self.times_found = 0
        self._answers = {
            API_VERSIONS: self._tell_versions,
            FIND_COORDINATOR: self._tell_coordinator,
            **answers,
        }
        self._last = {api: (versions or {}).get(api, api.last) for api in self._answers}
        self._by_key = {api.key: api for api in self._answers}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        listening = await anyio.create_tcp_listener(local_host="127.0.0.1")
        listener = await self._stack.enter_async_context(listening)
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        self.port: int = listener.extra(anyio.abc.SocketAttribute.local_port)
        self._tasks.start_soon(listener.serve, self._serve)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tasks.cancel_scope.cancel()
        await self._stack.__aexit__(kind, error, trace)

    async def _serve(self, stream: anyio.abc.SocketStream) -> None:
        received = BufferedByteReceiveStream(stream)
        async with stream:
            while True:
                try:
                    (length,) = LENGTH.unpack(await received.receive_exactly(LENGTH.size))
                except (anyio.IncompleteRead, anyio.BrokenResourceError):
                    return
                frame = memoryview(await received.receive_exactly(length))
                if answer := self._answer(frame):
                    await stream.send(answer)

    def _answer(self, frame: memoryview) -> bytes | None:
        key, version, correlation_id = read_request_start(frame)
        api = self._by_key[key]
        assert version <= self._last[api], f"{api.name} {version}"
        header = read_request_header(frame, flexible=api.is_flexible(version))
        request = api.read_request(version, frame, header.body_position)
        if api not in (API_VERSIONS, FIND_COORDINATOR):
            self.asked.append(request)
        response = self._answers[api](request)
        if response is None:
            return None
        return encode_response(api, version, correlation_id, response)

    def _tell_versions(self, _request: Message) -> Message:
        kinds = [
            ApiVersion(api_key=api.key, min_version=api.first, max_version=last)
            for api, last in self._last.items()
        ]
        return ApiVersionsResponse(api_keys=kinds)

    def _tell_coordinator(self, _request: Message) -> Message:
        self.times_found += 1
        here = Coordinator(node_id=1, host="127.0.0.1", port=self.port)
        return FindCoordinatorResponse(
            node_id=1, host=here.host, port=here.port, coordinators=[here]
        )
