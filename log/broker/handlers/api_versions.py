"""ApiVersions: the first thing that a client asks.

It is answered in every version; one from the future gets a version 0 response that says so and still
lists the APIs (KIP-511), for which the server calls `unknown_version`.
"""

from ...wire.error_codes import ErrorCode
from ...wire.messages.api_versions import ApiVersion, ApiVersionsRequest, ApiVersionsResponse
from ..node import Caller, Node


def api_versions(node: Node, request: ApiVersionsRequest, caller: Caller) -> ApiVersionsResponse:
    """List what is served."""
    del request, caller
    return ApiVersionsResponse(api_keys=_served(node))


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
