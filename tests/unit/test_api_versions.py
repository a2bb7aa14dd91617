"""ApiVersions, over the codec and the world that tests of handlers use."""

import pytest
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.api_versions import (
    API_VERSIONS,
    ApiVersionsRequest,
    ApiVersionsResponse,
)
from millpond.tests.twins.node_world import NodeWorld


def ask(
    version: int, *, name: str = "tester", software_version: str = "1.0"
) -> ApiVersionsResponse:
    request = ApiVersionsRequest(
        client_software_name=name, client_software_version=software_version
    )
    return NodeWorld().ask(API_VERSIONS, version, request)


@pytest.mark.parametrize("version", range(5))
def test_the_broker_lists_what_it_serves(version: int) -> None:
    response = ask(version)
    assert {one.api_key for one in response.api_keys} == set(NodeWorld().node.served)


def test_versions_of_produce_are_named_that_nobody_answers() -> None:
    produce = next(one for one in ask(4).api_keys if one.api_key == 0)
    assert produce.min_version == 0, "librdkafka would take a later first version for an old broker"


def test_the_java_consumer_finds_the_new_group_protocol() -> None:
    in_force = {one.name: one.max_version_level for one in ask(3).finalized_features}
    assert in_force["group.version"] == 1


def test_clients_of_version_3_see_no_feature_with_a_minimum_of_0() -> None:
    assert {one.name for one in ask(3).supported_features} == {"metadata.version"}
    assert "group.version" in {one.name for one in ask(4).supported_features}


@pytest.mark.parametrize("name", ["", "my client", "-client", "client-", "klient\xe4"])
def test_software_without_a_proper_name_is_refused(name: str) -> None:
    response = ask(3, name=name)
    assert (response.error_code, response.api_keys) == (ErrorCode.INVALID_REQUEST, [])
    assert ask(2, name=name).error_code == 0, "older clients say no name"


def test_software_without_a_version_is_refused() -> None:
    assert ask(4, software_version="").error_code == ErrorCode.INVALID_REQUEST
