"""ApiVersions, versions 0 to 4: the first thing that a client asks.

It is answered in every version; one from the future gets a version 0 response that says so and still
lists the APIs (KIP-511), for which the server calls `unknown_version`.

From version 3 on the client says what it is, in letters, digits, dots and dashes; anything else is
INVALID_REQUEST. What the broker can do besides (KIP-584) is in `features.py`; version 3 leaves out
what may be off, as its clients can't read a minimum of 0. The epoch of the features is the leader
epoch, which rises whenever the broker is started anew.
"""

import re
from typing import Final

from ...wire.error_codes import ErrorCode
from ...wire.messages.api_versions import (
    ApiVersion,
    ApiVersionsRequest,
    ApiVersionsResponse,
    FinalizedFeatureKey,
    SupportedFeatureKey,
)
from ..features import FEATURES
from ..node import Caller, Node

_NAMED_SINCE: Final = 3
_ZERO_MINIMUM_SINCE: Final = 4
_NAME: Final = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?")


def api_versions(node: Node, request: ApiVersionsRequest, caller: Caller) -> ApiVersionsResponse:
    """List what is served."""
    if caller.version >= _NAMED_SINCE and not (
        _NAME.fullmatch(request.client_software_name)
        and _NAME.fullmatch(request.client_software_version)
    ):
        return ApiVersionsResponse(error_code=ErrorCode.INVALID_REQUEST, api_keys=[])
    return ApiVersionsResponse(
        api_keys=_served(node),
        supported_features=[
            SupportedFeatureKey(name=each.name, min_version=each.first, max_version=each.last)
            for each in FEATURES
            if each.first > 0 or caller.version >= _ZERO_MINIMUM_SINCE
        ],
        finalized_features_epoch=node.broker.leader_epoch,
        finalized_features=[
            FinalizedFeatureKey(
                name=each.name, max_version_level=each.in_force, min_version_level=each.in_force
            )
            for each in FEATURES
            if each.in_force
        ],
    )


def unknown_version(node: Node) -> ApiVersionsResponse:
    """Answer a version that does not exist yet."""
    return ApiVersionsResponse(error_code=ErrorCode.UNSUPPORTED_VERSION, api_keys=_served(node))


def _served(node: Node) -> list[ApiVersion]:
    return [
        ApiVersion(
            api_key=one.api.key,
            min_version=one.first if one.advertised_first is None else one.advertised_first,
            max_version=one.last,
        )
        for one in node.served.values()
    ]
