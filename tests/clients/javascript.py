"""What the tests of JavaScript clients share: where their packages are, and whether they can run."""

import json
import shutil
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "js"


def version_of(package: str) -> str:
    """Return the version that package.json asks for."""
    return str(json.loads((FOLDER / "package.json").read_text())["dependencies"][package])


def needs_packages() -> pytest.MarkDecorator:
    """Skip tests where the packages can't be had."""
    if shutil.which("node") is None:
        return pytest.mark.skip("node is not installed")
    missing = not (FOLDER / "node_modules").is_dir()
    return pytest.mark.skipif(
        missing, reason="JavaScript clients are missing: `make client-packages`"
    )
