"""ApiVersions, over the codec and the world that tests of handlers use."""

import pytest
from millpond.log.wire.messages.api_versions import API_VERSIONS, ApiVersionsRequest
from millpond.tests.twins.node_world import NodeWorld


@pytest.mark.parametrize("version", range(5))
def test_the_broker_lists_what_it_serves(version: int) -> None:
    world = NodeWorld()
    response = world.ask(API_VERSIONS, version, ApiVersionsRequest())
    assert {one.api_key for one in response.api_keys} == set(world.node.served)
