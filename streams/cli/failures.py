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
import sysconfig
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
_LIBRARIES: Final = tuple(
    f"{Path(sysconfig.get_path(kind))}{os.sep}"
    for kind in ("stdlib", "platstdlib", "purelib", "platlib")
)
"""Where Python and installed packages are. The repository's root is our package, so it may hold
examples and tests: those are user code."""


class NothingFound(StreamError):
    """What was asked for does not exist, though the question was right."""


def perform(command: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> int:
    """Run an async command to its end and return the exit code."""
    import anyio

    from ..engine.failures import plain_errors

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
        if not _came_through_user_code(error):
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
    frame_counts = [_keep_user_frames(each) for each in _chain(told)]
    return "".join(told.format()).rstrip() if any(frame_counts) else ""


def _chain(told: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """Yield an exception and all that it came from or consists of."""
    yield told
    for other in (told.__cause__, told.__context__, *(told.exceptions or ())):
        if other is not None:
            yield from _chain(other)


def _keep_user_frames(told: traceback.TracebackException) -> int:
    """Strip an exception of our frames, and of what led to the user's; return how many are left."""
    frames = [frame for frame in told.stack if not frame.filename.startswith(_OURS)]
    users = [number for number, frame in enumerate(frames) if _is_users(frame.filename)]
    told.stack = traceback.StackSummary.from_list(frames[users[0] :] if users else frames)
    return len(told.stack)


def _came_through_user_code(error: BaseException) -> bool:
    told = traceback.TracebackException.from_exception(error)
    return any(_is_users(frame.filename) for each in _chain(told) for frame in each.stack)


def _is_users(filename: str) -> bool:
    return not filename.startswith((*_OURS, *_LIBRARIES, "<frozen"))


def _forget_stdout() -> None:
    """Let what is still buffered go nowhere, or the interpreter would complain on exit."""
    with contextlib.suppress(OSError, ValueError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)
