"""Where a server listens: what a user writes, and the sockets that come of it.

127.0.0.1:9092      one address
:9092               all addresses, IPv4 and IPv6
[::1]:9092          IPv6
localhost:0         whatever the name stands for, at a port that the system chooses
unix:/run/mill      a socket of this machine
"""

import contextlib
import errno
import re
import socket
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from ..broker.node import Endpoint
from ..errors import ConfigError

_ADDRESS: Final = re.compile(r"(\[(?P<ipv6>[^\[\]]+)\]|(?P<host>[^:\[\]]*)):(?P<port>\d{1,5})")
_UNIX: Final = "unix:"
_NO_SUCH_NETWORK: Final = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_WORKS: Final = "write HOST:PORT, [IPV6]:PORT, :PORT for all addresses, or unix:/path"


@dataclass(frozen=True, slots=True)
class Listener:
    """An address to listen at, and the one that clients are told if that differs."""

    address: str
    advertised: str | None = None


def parse_address(text: str) -> Endpoint | str:
    """Return host and port, or the path of a Unix socket.

    Raises:
        ConfigError: it is neither.
    """
    if text.startswith(_UNIX):
        path = text.removeprefix(_UNIX)
        if path:
            return path
    elif (match := _ADDRESS.fullmatch(text)) and int(match["port"]) < 2**16:
        return Endpoint(match["ipv6"] or match["host"], int(match["port"]))
    raise ConfigError(f"{text!r} is no address to listen at: {_WORKS}")


def parse_advertised(text: str) -> Endpoint:
    """Return host and port at which clients reach a listener.

    Raises:
        ConfigError: it is no such address.
    """
    match = _ADDRESS.fullmatch(text)
    if not match or not (match["ipv6"] or match["host"]) or not 0 < int(match["port"]) < 2**16:
        raise ConfigError(f"{text!r} can't be advertised: write HOST:PORT")
    return Endpoint(match["ipv6"] or match["host"], int(match["port"]))


def show(address: Endpoint | str) -> str:
    """Return an address as a user would write it."""
    if isinstance(address, str):
        return _UNIX + address
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


class Bound(NamedTuple):
    """A socket that is bound, but does not listen yet.

    `endpoint` is what clients are told; None: the address that they came to.
    """

    socket: socket.socket
    address: Endpoint | str
    endpoint: Endpoint | None


@contextlib.contextmanager
def bound(listeners: Iterable[Listener]) -> Iterator[list[Bound]]:
    """Bind all listeners; at the end, close the sockets and leave nothing behind.

    Raises:
        ConfigError: an address is none, or is taken.
    """
    with contextlib.ExitStack() as stack:
        yield [each for listener in listeners for each in _bound(listener, stack)]


def _bound(listener: Listener, stack: contextlib.ExitStack) -> Iterator[Bound]:
    """Bind one listener; more than once if a name stands for several addresses."""
    address = parse_address(listener.address)
    told = None if listener.advertised is None else parse_advertised(listener.advertised)
    try:
        if isinstance(address, str):
            yield Bound(_bind_unix(address, stack), address, told or Endpoint(address, 0))
            return
        for listening in _bind_all(address, stack):
            yield Bound(listening, Endpoint(*listening.getsockname()[:2]), told)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"can't listen at {listener.address!r}: {reason}") from None


def _bind_all(address: Endpoint, stack: contextlib.ExitStack) -> list[socket.socket]:
    found = socket.getaddrinfo(
        address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    port, bound = address.port, []
    missing: OSError | None = None
    for family, _type, _protocol, _name, where in dict.fromkeys(found):
        try:
            listening = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind((where[0], port, *where[2:]))
        except OSError as error:
            if error.errno not in _NO_SUCH_NETWORK:
                raise
            missing = error  # such as IPv6, which the name stands for, but the machine lacks
            continue
        port = listening.getsockname()[1]  # the same for all
        bound.append(listening)
    if missing is not None and not bound:
        raise missing
    return bound


def _bind_unix(path: str, stack: contextlib.ExitStack) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(Path(path).stat().st_mode) and not _answers(path):
            Path(path).unlink()  # left behind by one that was killed
    listening = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    listening.bind(path)
    stack.callback(Path(path).unlink, missing_ok=True)
    return listening


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0
