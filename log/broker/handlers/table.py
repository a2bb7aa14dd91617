"""All APIs that are served: a line for each, in the order of their numbers."""

from collections.abc import Mapping
from typing import Final

from ...wire.messages.api_versions import API_VERSIONS
from ...wire.messages.find_coordinator import FIND_COORDINATOR
from ..served import Served
from .api_versions import api_versions
from .find_coordinator import find_coordinator

SERVED: Final[Mapping[int, Served]] = {
    one.api.key: one
    for one in (
        Served(FIND_COORDINATOR, 0, 6, find_coordinator),
        Served(API_VERSIONS, 0, 4, api_versions),
    )
}
