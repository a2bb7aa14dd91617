"""What can be wrong with bytes that claim to be a message."""

from ..errors import LogError


class MalformedMessage(LogError):
    """The bytes are not what the protocol says; the connection they came over can't be trusted."""


class UnsupportedVersion(LogError):
    """No such API, or no such version of it."""
