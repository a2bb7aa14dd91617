"""What the command line says when it can't find or load an app."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from millpond.log.errors import ConfigError
from millpond.streams.loader import load_app


class App:
    """Stands in for the real one: the loader is given the class."""

    def __init__(self, name: str) -> None:
        self.name = name


SHARED = "from tests_loader_app import App\n"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A directory from which modules can be imported, and forgotten afterwards."""
    path, modules = list(sys.path), set(sys.modules)
    sys.modules["tests_loader_app"] = sys.modules[__name__]
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(project: Path, name: str, text: str) -> None:
    file = project / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(SHARED + text)


def test_app_is_found_by_name(project: Path) -> None:
    write(project, "loader_shop.py", "app = App('shop')\nother = App('other')\n")
    assert load_app("loader_shop:app", App, directory=project).name == "shop"
    assert load_app("loader_shop:other", App, directory=project).name == "other"


def test_the_only_app_needs_no_name(project: Path) -> None:
    write(project, "loader_one.py", "shop = App('shop')\nsame = shop\n")
    assert load_app("loader_one", App, directory=project).name == "shop"


def test_app_in_a_package_and_in_an_attribute(project: Path) -> None:
    write(project, "loader_pkg/__init__.py", "")
    write(project, "loader_pkg/shop.py", "class Config:\n    app = App('shop')\n")
    assert load_app("loader_pkg.shop:Config.app", App, directory=project).name == "shop"


def test_app_module_can_import_its_neighbours(project: Path) -> None:
    write(project, "loader_helper.py", "NAME = 'shop'\n")
    write(project, "loader_main.py", "import loader_helper\napp = App(loader_helper.NAME)\n")
    assert load_app("loader_main:app", App, directory=project).name == "shop"


def test_no_such_module_tells_what_there_is(project: Path) -> None:
    write(project, "shop.py", "")
    write(project, "stock/__init__.py", "")
    with pytest.raises(ConfigError) as caught:
        load_app("loader_missing:app", App, directory=project)
    assert "no module named 'loader_missing'" in str(caught.value)
    assert f"looked in {project}, where there is shop, stock" in str(caught.value)


def test_missing_submodule_is_no_failure_of_the_package(project: Path) -> None:
    write(project, "loader_pkg2/__init__.py", "")
    with pytest.raises(ConfigError, match=r"no module named 'loader_pkg2\.shop'"):
        load_app("loader_pkg2.shop:app", App, directory=project)


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("shop.py:app", "write shop:app"),
        ("./src/shop.py", "write src.shop:app"),
        ("src/shop:application", "write src.shop:application"),
        ("", "as in shop:app"),
        (":app", "as in shop:app"),
    ],
)
def test_a_path_in_place_of_a_module_gets_a_hint(project: Path, target: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        load_app(target, App, directory=project)


def test_import_error_inside_the_users_module_shows_their_line_and_not_ours(project: Path) -> None:
    write(project, "loader_broken.py", "def connect():\n    import no_such_driver\nconnect()\n")
    with pytest.raises(ConfigError) as caught:
        load_app("loader_broken:app", App, directory=project)
    message = str(caught.value)
    assert "module 'loader_broken' failed while it was imported" in message
    assert 'loader_broken.py", line 3, in connect' in message
    assert "No module named 'no_such_driver'" in message
    assert "streams/loader.py" not in message
    assert "importlib" not in message
    assert caught.value.__suppress_context__


def test_any_error_while_importing_is_told_the_same_way(project: Path) -> None:
    write(project, "loader_zero.py", "app = 1 / 0\n")
    with pytest.raises(ConfigError, match="ZeroDivisionError: division by zero"):
        load_app("loader_zero:app", App, directory=project)


def test_syntax_error_shows_file_and_line(project: Path) -> None:
    write(project, "loader_syntax.py", "app = = 1\n")
    with pytest.raises(ConfigError) as caught:
        load_app("loader_syntax:app", App, directory=project)
    assert 'loader_syntax.py", line 2' in str(caught.value)
    assert "SyntaxError" in str(caught.value)


def test_module_that_ends_the_program_is_named(project: Path) -> None:
    write(project, "loader_script.py", "import sys\nsys.exit(3)\n")
    with pytest.raises(ConfigError, match=r"sys\.exit\(3\).*__main__"):
        load_app("loader_script:app", App, directory=project)


def test_no_such_name_tells_which_apps_there_are(project: Path) -> None:
    write(project, "loader_names.py", "shop = App('shop')\n")
    with pytest.raises(ConfigError, match=r"has no 'app': there is loader_names:shop"):
        load_app("loader_names:app", App, directory=project)


def test_what_is_no_app_is_named(project: Path) -> None:
    write(project, "loader_number.py", "app = 5\n")
    with pytest.raises(
        ConfigError, match=r"loader_number:app is no App, it is of type int: make one"
    ):
        load_app("loader_number:app", App, directory=project)


def test_without_a_name_there_must_be_one_app(project: Path) -> None:
    write(project, "loader_none.py", "")
    with pytest.raises(ConfigError, match="has no App: make one"):
        load_app("loader_none", App, directory=project)
    write(project, "loader_two.py", "a = App('a')\nb = App('b')\n")
    with pytest.raises(ConfigError, match="has 2 apps: say loader_two:a or loader_two:b"):
        load_app("loader_two", App, directory=project)
