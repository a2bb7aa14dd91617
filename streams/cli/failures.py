"""How a command fails: a short message on stderr, and an exit code that tells whose turn it is.

0   it did what was asked; a worker was stopped in order; `tail` was interrupted
1   something failed while it ran: an agent, a record, the disk; or what was asked for is not there
2   the command line or the app has to be corrected first
130, 143   stopped at once by a second SIGINT or SIGTERM

A user never sees our own frames: of an exception from their code they get the frames that are
theirs, and below them what happened to the record.
"""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

from ...log.errors import ConfigError, MillpondError
from ..errors import StreamError
from .show import paint

EXIT_FAILED: Final = 1
EXIT_WRONG: Final = 2
EXIT_INTERRUPTED: Final = 130

_PACKAGE: Final = Path(__file__).parents[2]
_OURS: Final = tuple(f"{_PACKAGE / part}{os.sep}" for part in ("log", "state", "streams"))
_MACHINERY: Final = ("anyio", "asyncio", "contextlib.py", "concurrent", "trio", "outcome")
"""What stands between us and user code in a traceback, and explains nothing to the user."""


class NothingFound(StreamError):
    """What was asked for does not exist, though the question was right."""


def perform(command: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> int:
    """Run an async command to its end and return the exit code."""
    import anyio

    from ..failures import plain_errors

    async def unwrapped() -> None:
        with plain_errors():
            await command(*arguments)

    with reported() as outcome:
        anyio.run(unwrapped)
    return outcome.code


class Outcome:
    """How a command ended."""

    code: int = 0


@contextlib.contextmanager
def reported() -> Iterator[Outcome]:
    """Tell of what goes wrong in the block, and note the exit code.

    What nobody foresaw is raised: a traceback of ours is then the right thing to show.
    """
    outcome = Outcome()
    try:
        yield outcome
        sys.stdout.flush()
    except BrokenPipeError:  # as in `millpond tail … | head`: nobody wants the rest
        _forget_stdout()
    except KeyboardInterrupt:
        outcome.code = EXIT_INTERRUPTED
    except ConfigError as error:
        tell(error)
        outcome.code = EXIT_WRONG
    except MillpondError as error:
        tell(error)
        outcome.code = EXIT_FAILED
    except Exception as error:
        if not user_trace(error):
            raise
        tell(error)
        outcome.code = EXIT_FAILED


def tell(error: BaseException) -> None:
    """Print an error, after the frames of user code that it came through."""
    if isinstance(error, MillpondError):
        cause = getattr(error, "cause", None)
        trace = user_trace(cause) if isinstance(cause, BaseException) else ""
        message = str(error)
    else:
        trace = user_trace(error)
        message = (
            f"the app failed outside its agents: {type(error).__name__}: {error}. "
            "What the agents have not committed will be read again after a restart."
        )
    if trace:
        print(trace, file=sys.stderr)
    print(f"{paint('error:', 'bold red', sys.stderr)} {message}", file=sys.stderr)


def user_trace(error: BaseException) -> str:
    """Return the traceback without our frames; empty when no other frame is left."""
    told = traceback.TracebackException.from_exception(error)
    if not _keep_user_frames(told):
        return ""
    return "".join(told.format()).rstrip()


def _keep_user_frames(told: traceback.TracebackException) -> bool:
    """Strip an exception, and those it came from, of our frames; say whether any frame is left."""
    frames = [frame for frame in told.stack if not frame.filename.startswith(_OURS)]
    while frames and _is_machinery(frames[0].filename):
        del frames[0]
    told.stack = traceback.StackSummary.from_list(frames)
    others = [told.__cause__, told.__context__, *(told.exceptions or ())]
    left = [_keep_user_frames(other) for other in others if other is not None]
    return bool(frames) or any(left)


def _is_machinery(filename: str) -> bool:
    return any(part in _MACHINERY for part in Path(filename).parts[-3:])


def _forget_stdout() -> None:
    """Let what is still buffered go nowhere, or the interpreter would complain on exit."""
    with contextlib.suppress(OSError, ValueError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)
