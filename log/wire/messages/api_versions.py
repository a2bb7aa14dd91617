"""ApiVersions (18): which APIs, in which versions, and which features the broker has.

The first that most clients ask. The broker may not know the version in which it is asked: then it
answers as version 0, with UNSUPPORTED_VERSION and the versions of this very API (KIP-511). For the
same reason the response's header never has tagged fields.

    1   throttle time
    3   flexible; the client's software (KIP-511); features (KIP-584)
    4   a feature's least version may be 0 (KAFKA-17011)

Source: the Kafka protocol, as of 4.1.
"""

from typing import Annotated, Final

from ..api import Api
from ..schema import Bool, Int16, Int32, Int64, Message, Since, String, Tagged


class ApiVersionsRequest(Message):
    """What a client asks."""

    client_software_name: Annotated[String, Since(3)] = ""
    client_software_version: Annotated[String, Since(3)] = ""


class ApiVersion(Message):
    """One of `ApiVersionsResponse.api_keys`."""

    api_key: Int16
    min_version: Int16
    max_version: Int16


class SupportedFeatureKey(Message):
    """One of `ApiVersionsResponse.supported_features`."""

    name: Annotated[String, Since(3)] = ""
    min_version: Annotated[Int16, Since(3)] = 0
    max_version: Annotated[Int16, Since(3)] = 0


class FinalizedFeatureKey(Message):
    """One of `ApiVersionsResponse.finalized_features`."""

    name: Annotated[String, Since(3)] = ""
    max_version_level: Annotated[Int16, Since(3)] = 0
    min_version_level: Annotated[Int16, Since(3)] = 0


class ApiVersionsResponse(Message):
    """What the broker answers."""

    error_code: Int16 = 0
    api_keys: list[ApiVersion]
    throttle_time_ms: Annotated[Int32, Since(1)] = 0
    supported_features: Annotated[list[SupportedFeatureKey], Since(3), Tagged(0)] = []
    finalized_features_epoch: Annotated[Int64, Since(3), Tagged(1)] = -1
    finalized_features: Annotated[list[FinalizedFeatureKey], Since(3), Tagged(2)] = []
    zk_migration_ready: Annotated[Bool, Since(3), Tagged(3)] = False


API_VERSIONS: Final = Api(
    key=18,
    name="ApiVersions",
    request=ApiVersionsRequest,
    response=ApiVersionsResponse,
    first=0,
    last=4,
    flexible_since=3,
)
"""ApiVersions, as both sides know it."""
