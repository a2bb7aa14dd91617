"""An API of the protocol: a number, a request and a response, in a range of versions."""

import struct
from dataclasses import dataclass
from typing import Generic, TypeVar

from .errors import MalformedMessage, UnsupportedVersion, UnwritableMessage
from .primitives import ELEMENTS_MAX
from .readers import reader
from .schema import Message
from .writers import writer

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)
MessageT = TypeVar("MessageT", bound=Message)


@dataclass(frozen=True, slots=True)
class Api(Generic[RequestT, ResponseT]):
    """What both sides know of one API.

    `first` and `last` are the versions that can be read and written here; which of them a broker
    offers is the broker's business. `flexible_since` is the first with compact lengths and tags.
    """

    key: int
    name: str
    request: type[RequestT]
    response: type[ResponseT]
    first: int
    last: int
    flexible_since: int

    def is_flexible(self, version: int) -> bool:
        """Say whether a version has compact lengths and tagged fields."""
        return version >= self.flexible_since

    def read_request(self, version: int, buffer: memoryview, position: int = 0) -> RequestT:
        """Read a request, without its header. What follows it is ignored, as Kafka does.

        librdkafka 2 sends three bytes too many with Metadata 13 for all topics.

        Raises:
            UnsupportedVersion, MalformedMessage.
        """
        self.check_version(version)
        flexible = self.is_flexible(version)
        request, _end = read_message(self.request, version, buffer, position, flexible=flexible)
        return request

    def read_response(self, version: int, buffer: memoryview, position: int = 0) -> ResponseT:
        """Read a response, without its header, up to the end of the buffer.

        Raises:
            UnsupportedVersion, MalformedMessage.
        """
        self.check_version(version)
        flexible = self.is_flexible(version)
        response, end = read_message(self.response, version, buffer, position, flexible=flexible)
        if end != len(buffer):
            raise MalformedMessage(
                f"{self.response.__name__} v{version} ends at {end} of {len(buffer)} bytes"
            )
        return response

    def write_request(self, version: int, request: RequestT, chunks: list[bytes]) -> None:
        """Append a request, without its header, to the chunks.

        Raises:
            UnsupportedVersion, UnwritableMessage.
        """
        self.check_version(version)
        write_message(request, version, chunks, flexible=self.is_flexible(version))

    def write_response(self, version: int, response: ResponseT, chunks: list[bytes]) -> None:
        """Append a response, without its header, to the chunks.

        Raises:
            UnsupportedVersion, UnwritableMessage.
        """
        self.check_version(version)
        write_message(response, version, chunks, flexible=self.is_flexible(version))

    def check_version(self, version: int) -> None:
        """Raise UnsupportedVersion for one that is not known here."""
        if not self.first <= version <= self.last:
            raise UnsupportedVersion(
                f"{self.name} version {version}: known are {self.first} to {self.last}"
            )


def read_message(
    message: type[MessageT], version: int, buffer: memoryview, position: int = 0, *, flexible: bool
) -> tuple[MessageT, int]:
    """Read one message; return it and where it ends.

    Raises:
        MalformedMessage: the bytes are not one.
    """
    try:
        return reader(message, version, flexible)(buffer, position, [ELEMENTS_MAX])
    except (struct.error, IndexError) as error:
        raise MalformedMessage(f"{message.__name__} v{version} is cut short: {error}") from error
    except UnicodeDecodeError as error:
        raise MalformedMessage(f"{message.__name__} v{version}: no UTF-8: {error}") from error
    except MalformedMessage as error:
        raise MalformedMessage(f"{message.__name__} v{version}: {error}") from error


def write_message(message: Message, version: int, chunks: list[bytes], *, flexible: bool) -> None:
    """Append a message to the chunks.

    Raises:
        UnwritableMessage: this version can't hold it: a null where none may be, a number or a
            string beyond its type. The chunks are of no use then.
    """
    kind = type(message)
    try:
        writer(kind, version, flexible)(message, chunks)
    except (struct.error, AttributeError, TypeError, UnicodeEncodeError) as error:
        raise UnwritableMessage(f"{kind.__name__} v{version}: {error}: {message}") from error
    except UnwritableMessage as error:
        raise UnwritableMessage(f"{kind.__name__} v{version}: {error}") from error
