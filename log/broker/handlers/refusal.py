"""What a handler refuses, raised where that is found out and answered in one place.

Many requests name several topics, of which one may be refused and the next one served.
"""

from ...wire.error_codes import ErrorCode


class Refusal(Exception):
    """One item of a request is refused: with this code, and words for people."""

    def __init__(self, code: ErrorCode, message: str | None = None) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
