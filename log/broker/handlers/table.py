"""All APIs that are served: a line for each, in the order of their numbers."""

from collections.abc import Mapping
from typing import Final

from ...wire.messages.api_versions import API_VERSIONS
from ..served import Served
from .api_versions import api_versions

SERVED: Final[Mapping[int, Served]] = {
    one.api.key: one for one in (Served(API_VERSIONS, 0, 4, api_versions),)
}
