"""What can be wrong with messages, and with bytes that claim to be one."""

from ..errors import LogError


class MalformedMessage(LogError):
    """The bytes are not what the protocol says; the connection they came over can't be trusted."""


class UnwritableMessage(LogError):
    """A version of a message can't hold what was to be written: who made the message is at fault."""


class UnsupportedVersion(LogError):
    """No such API, or no such version of it."""
