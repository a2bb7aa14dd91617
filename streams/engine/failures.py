"""From the many errors of a task group to the one that a user should see."""

from collections.abc import Iterator
from contextlib import contextmanager

from ...log.errors import MillpondError


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise what ended the block by itself, not wrapped in exception groups.

    When several tasks fail, the first error of Millpond's is raised, for it explains the others; if
    there is none, the group is left as it is unless it holds a single error.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        errors = list(_leaves(group))
        ours = [error for error in errors if isinstance(error, MillpondError)]
        if ours:
            raise ours[0] from ours[0].__cause__
        if len(errors) == 1:
            raise errors[0] from errors[0].__cause__
        raise


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
