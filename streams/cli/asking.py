"""Asking before something is lost."""

import sys

from ...log.errors import ConfigError, LogError


def confirm(question: str, otherwise: str) -> None:
    """Ask, and raise unless the answer is yes; then `otherwise` says what was not done."""
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} Nobody is there to ask: add --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise LogError(otherwise)
