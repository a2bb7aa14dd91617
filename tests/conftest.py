"""What every test may use."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cluster",
        default="millpond",
        choices=["millpond", "kafka"],
        help="what conformance is run on",
    )
    parser.addoption(
        "--chaos-seconds", type=float, default=40, help="how long workers are killed and paused"
    )
    parser.addoption("--chaos-seed", type=int, default=1, help="what befalls them, and when")


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)
