"""FindCoordinator, asked through the codec."""

import pytest
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.find_coordinator import FIND_COORDINATOR, FindCoordinatorRequest
from millpond.tests.twins.node_world import NodeWorld


@pytest.mark.parametrize("version", range(4))
def test_a_single_node_coordinates_every_group_and_says_how_it_was_reached(version: int) -> None:
    answer = NodeWorld().ask(FIND_COORDINATOR, version, FindCoordinatorRequest(key="readers"))
    assert (answer.error_code, answer.node_id) == (ErrorCode.NONE, 1)
    assert (answer.host, answer.port) == ("127.0.0.1", 9092)


@pytest.mark.parametrize("version", range(4, 7))
@pytest.mark.parametrize("key_type", [0, 1])
def test_several_are_found_with_one_request(version: int, key_type: int) -> None:
    request = FindCoordinatorRequest(key_type=key_type, coordinator_keys=["a", "b"])
    answer = NodeWorld().ask(FIND_COORDINATOR, version, request)
    found = [(one.key, one.error_code, one.node_id, one.port) for one in answer.coordinators]
    assert found == [("a", 0, 1, 9092), ("b", 0, 1, 9092)]


def test_a_kind_of_key_that_is_not_known_is_refused_for_each_key() -> None:
    request = FindCoordinatorRequest(key_type=2, coordinator_keys=["a"])
    answer = NodeWorld().ask(FIND_COORDINATOR, 6, request)
    assert answer.coordinators[0].error_code == ErrorCode.INVALID_REQUEST
