"""librdkafka's admin client, asked from tasks: each call in a thread, under a deadline, errors typed.

librdkafka answers with futures that its own thread resolves. Waiting for them in a worker thread
costs a tenth of a millisecond, which is little beside a request over the network, and works under
any event loop.
"""

import re
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from ..errors import ConfigError, MillpondError, Unreachable
from .address import ClusterAddress
from .failures import DISCONNECTED, MOVED, TRANSIENT, Table, error_of, translated

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T = TypeVar("T")

CALLS_AT_ONCE: Final = 16
RETRY_PAUSE_S: Final = 0.05
ATTEMPT_S: Final = 0.5
PASSING: Final = TRANSIENT | DISCONNECTED

_AROUND: Final = re.compile(r"^\S+: | \(after \d+ms in state.*\)$")
"""What librdkafka puts around the cause: a name of the broker, and how often it was so."""

Send = Callable[[AdminClient, float], Mapping[K, "Future[Any]"]]


class Client:
    """One admin client for all that is asked of a cluster. Make it with `connect`."""

    def __init__(self, address: ClusterAddress) -> None:
        self.address = address
        self._threads = anyio.CapacityLimiter(CALLS_AT_ONCE)
        self._told: deque[str] = deque(maxlen=8)
        try:
            settings: dict[str, Any] = {**address.common(), "error_cb": self._on_error}
            self._admin = AdminClient(settings)
        except KafkaException as failure:
            raise ConfigError(
                f"librdkafka won't have the settings: {error_of(failure).str()}"
            ) from None

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Do what blocks, in a thread; a cancelled caller does not wait for it."""
        return await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._threads)

    async def insist(self, question: Callable[[], T]) -> T:
        """Ask something that blocks, in a thread; again while no broker can be reached, until the deadline.

        Raises:
            Unreachable: it could not be asked in time.
        """

        def ask() -> T:
            deadline = time.monotonic() + self.address.timeout_s
            while True:
                try:
                    return question()
                except Unreachable:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(RETRY_PAUSE_S)

        return await self.in_thread(ask)

    async def connect(self, timeout_s: float) -> None:
        """Wait until a broker answers.

        Raises:
            Unreachable: none does.
        """
        await self.in_thread(lambda: self._connect(time.monotonic() + timeout_s, timeout_s))

    async def metadata(self, timeout_s: float) -> ClusterMetadata:
        """Return which brokers and topics there are."""

        def ask() -> ClusterMetadata:
            try:
                return self._admin.list_topics(timeout=timeout_s)
            except KafkaException as failure:
                raise self.typed(error_of(failure), "the cluster") from None

        return await self.insist(ask)

    async def ask(self, send: Send[K], *, changes: bool = False) -> dict[K, Any]:
        """Ask, and return each key's answer, or the KafkaError that it got.

        Answers that say "not yet" are asked for again until the deadline.

        Args:
            send: is given the admin client and the seconds that are left; returns futures.
            changes: whether it would matter if it took place twice: then it is not asked again when the
                connection breaks.
        """
        return await self.in_thread(lambda: self._ask(send, TRANSIENT if changes else PASSING))

    async def ask_all(
        self, send: Send[K], above: Table = MappingProxyType({}), *, changes: bool = False
    ) -> dict[K, Any]:
        """Ask, and return all answers; `above` counts before the table of errors.

        Raises:
            MillpondError: of the first key that got an error.
        """
        answers = await self.ask(send, changes=changes)
        for key, answer in answers.items():
            if isinstance(answer, KafkaError):
                raise self.typed(answer, key, above)
        return answers

    def typed(
        self, error: KafkaError, subject: object, above: Table = MappingProxyType({})
    ) -> MillpondError:
        """Return librdkafka's error as ours; when nobody answered, with what else is known of it."""
        ours = translated(error, subject, above)
        return self.unreachable(str(ours)) if type(ours) is Unreachable else ours

    def unreachable(self, what: str) -> Unreachable:
        """Return an error that says what librdkafka has told of its connections."""
        self._admin.poll(0)
        reason = f" ({self._told[-1]})" if self._told else ""
        return Unreachable(f"{what}{reason}")

    def _connect(self, deadline: float, timeout_s: float) -> None:
        while True:
            left = deadline - time.monotonic()
            try:
                self._admin.list_topics(timeout=max(min(left, ATTEMPT_S), 0.01))
            except KafkaException:
                if left > 0:
                    time.sleep(RETRY_PAUSE_S)
                    continue
                raise self.unreachable(
                    f"no broker answers at {self.address} within {timeout_s:g} s"
                ) from None
            self._told.clear()
            return

    def _ask(self, send: Send[K], again: frozenset[int]) -> dict[K, Any]:
        deadline = time.monotonic() + self.address.timeout_s
        while True:
            left = max(deadline - time.monotonic(), 0.1)
            try:
                futures = send(self._admin, left)
            except KafkaException as failure:
                raise self.typed(error_of(failure), "the request") from None
            answers = {key: _answer(future, left) for key, future in futures.items()}
            self._admin.poll(0)
            errors = [each for each in answers.values() if isinstance(each, KafkaError)]
            if time.monotonic() >= deadline or not any(each.code() in again for each in errors):
                return answers
            if any(each.code() in MOVED for each in errors):
                self._refresh(left)
            time.sleep(RETRY_PAUSE_S)

    def _refresh(self, timeout_s: float) -> None:
        """Let librdkafka learn who leads what: it asks again only who it takes for the leader."""
        with suppress(KafkaException):
            self._admin.list_topics(timeout=timeout_s)

    def _on_error(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # says less than what came before it
            self._told.append(_AROUND.sub("", error.str()))


def _answer(future: "Future[Any]", timeout_s: float) -> Any:
    try:
        return future.result(timeout_s + 5)  # librdkafka keeps the deadline; this is for the worst
    except KafkaException as failure:
        return error_of(failure)
    except FutureTimeout:
        return KafkaError(KafkaError._TIMED_OUT)
