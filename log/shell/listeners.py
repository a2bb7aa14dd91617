"""Where a server listens: what a user writes, and the sockets that come of it.

127.0.0.1:9092      one address
:9092               all addresses, IPv4 and IPv6
[::1]:9092          IPv6
localhost:0         whatever the name stands for, at a port that the system chooses
unix:/run/mill      a socket of this machine
"""

import contextlib
import re
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..broker.node import Endpoint
from ..errors import ConfigError

BACKLOG: Final = 1024
_ADDRESS: Final = re.compile(r"(\[(?P<ipv6>[^\[\]]+)\]|(?P<host>[^:\[\]]*)):(?P<port>\d{1,5})")
_UNIX: Final = "unix:"
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


def bind(text: str) -> list[socket.socket]:
    """Return bound sockets, which do not listen yet; several if a name stands for several addresses.

    Raises:
        ConfigError: the address is none, or is taken.
    """
    address = parse_address(text)
    try:
        if isinstance(address, str):
            return [_bind_unix(address)]
        return list(_bind_all(address))
    except OSError as error:
        raise ConfigError(f"can't listen at {text!r}: {error.strerror or error}") from None


def unbind(address: Endpoint | str) -> None:
    """Remove what is left of an address where nobody listens any more."""
    if isinstance(address, str):
        Path(address).unlink(missing_ok=True)


def _bind_all(address: Endpoint) -> Iterator[socket.socket]:
    found = socket.getaddrinfo(
        address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    port = address.port
    with contextlib.ExitStack() as opened:
        bound = []
        for family, _type, _protocol, _name, where in dict.fromkeys(found):
            listening = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind((where[0], port, *where[2:]))
            port = listening.getsockname()[1]
            bound.append(listening)
        opened.pop_all()
    yield from bound


def _bind_unix(path: str) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(Path(path).stat().st_mode) and not _answers(path):
            Path(path).unlink()  # left behind by one that was killed
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(path)
    except OSError:
        listening.close()
        raise
    return listening


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0
