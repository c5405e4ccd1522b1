"""Where a project is: the order in which a fleet is looked for, and what the environment overrides."""

from pathlib import Path

import pytest

import deploytools
from deploytools.errors import FleetFileError
from deploytools.fleet import Fleet
from deploytools.project import Project, code_folders, find_project

DECLARATION = '[tool.deploytools]\nfleet = "conf/fleet.toml"\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with folders in it, and no fleet yet."""
    root = tmp_path.resolve() / "shop"
    (root / "src" / "shop").mkdir(parents=True)
    return root


def test_a_fleet_file_beside_us_makes_this_folder_the_project(root: Path) -> None:
    (root / "fleet.toml").touch()

    project = find_project({}, root)

    assert project == Project(root=root, fleet_path=root / "fleet.toml", state=root / ".deploytools")
    assert project.beat_schedule == root / ".deploytools" / "celerybeat-schedule"


def test_the_nearest_folder_upwards_with_a_fleet_is_the_root(root: Path) -> None:
    (root.parent / "fleet.toml").touch()
    (root / "fleet.toml").touch()

    assert find_project({}, root / "src" / "shop").root == root


def test_pyproject_decides_before_a_fleet_file_in_the_same_folder(root: Path) -> None:
    (root / "pyproject.toml").write_text(DECLARATION)
    (root / "fleet.toml").touch()

    assert find_project({}, root / "src").fleet_path == root / "conf" / "fleet.toml"


@pytest.mark.parametrize("text", ["", '[project]\nname = "shop"\n', "[tool.deploytools]\n"])
def test_a_pyproject_that_declares_no_fleet_is_passed_over(root: Path, text: str) -> None:
    (root / "src" / "pyproject.toml").write_text(text)
    (root / "pyproject.toml").write_text(DECLARATION)

    assert find_project({}, root / "src").root == root


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("[tool", ": cannot be read (", id="not-toml"),
        pytest.param(
            "[tool.deploytools]\nfleet = 3\n",
            ": [tool.deploytools] fleet = 3: expected a path in quotes",
            id="not-a-path",
        ),
    ],
)
def test_a_pyproject_that_cannot_be_understood_is_an_error_that_names_it(root: Path, text: str, problem: str) -> None:
    (root / "pyproject.toml").write_text(text)

    with pytest.raises(FleetFileError) as caught:
        find_project({}, root)

    assert str(caught.value).startswith(f"{root / 'pyproject.toml'}{problem}")


@pytest.mark.parametrize(
    ("environ", "packaged", "found"),
    [
        pytest.param({}, None, "fleet.toml", id="the-folder's-own"),
        pytest.param({}, "packaged.toml", "packaged.toml", id="the-application-carries-one"),
        pytest.param(
            {"DEPLOYTOOLS_FLEET": "other.toml"}, "packaged.toml", "other.toml", id="the-environment-names-one"
        ),
        pytest.param({"DEPLOYTOOLS_FLEET": ""}, None, "fleet.toml", id="an-empty-variable-names-none"),
    ],
)
def test_the_environment_decides_before_the_application_and_that_before_the_folder(
    root: Path, environ: dict[str, str], packaged: str | None, found: str
) -> None:
    (root / "fleet.toml").touch()

    project = find_project(environ, root, root / packaged if packaged else None)

    assert project == Project(root=root, fleet_path=root / found, state=root / ".deploytools")


@pytest.mark.parametrize(
    ("named", "state"),
    [
        pytest.param("run", "src/run", id="relative-to-where-we-are"),
        pytest.param("/var/lib/shop", "/var/lib/shop", id="absolute"),
        pytest.param("", ".deploytools", id="empty"),
    ],
)
def test_state_is_below_the_root_unless_the_environment_names_a_folder(root: Path, named: str, state: str) -> None:
    (root / "fleet.toml").touch()

    assert find_project({"DEPLOYTOOLS_STATE": named}, root / "src").state == root / state


def test_an_application_with_its_fleet_inside_works_in_a_folder_without_one(root: Path) -> None:
    project = find_project({}, root, Path("/site-packages/shop/fleet.toml"))

    assert project == Project(root=root, fleet_path=Path("/site-packages/shop/fleet.toml"), state=root / ".deploytools")


def test_no_fleet_anywhere_is_an_error_that_says_how_to_declare_one(root: Path) -> None:
    with pytest.raises(FleetFileError) as caught:
        find_project({}, root)

    assert str(caught.value) == (
        f"{root}: no fleet here: write fleet.toml, or set [tool.deploytools] fleet in pyproject.toml, "
        "or point DEPLOYTOOLS_FLEET at one"
    )


def test_a_project_reads_its_fleet(fleet_path: Path, fleet: Fleet) -> None:
    assert find_project({"DEPLOYTOOLS_FLEET": str(fleet_path)}, Path("/")).fleet() == fleet


def fleet_of(app: str) -> Fleet:
    """Return a fleet of which only the application matters."""
    return Fleet(app=app, default_tier="quick", tiers=())


def test_the_code_of_an_application_is_found_without_importing_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "src" / "shop" / "__init__.py").write_text("raise AssertionError('imported')")
    (root / "fleet.toml").touch()
    monkeypatch.syspath_prepend(root / "src")

    assert code_folders(find_project({}, root), fleet_of("shop.tasks:app")) == [root / "src" / "shop"]


@pytest.mark.parametrize("app", ["no_such_package.tasks:app", "this:app"], ids=["unknown", "a-module-without-folder"])
def test_an_application_that_is_no_installed_package_lives_in_the_project(root: Path, app: str) -> None:
    (root / "fleet.toml").touch()

    assert code_folders(find_project({}, root), fleet_of(app)) == [root]


def test_an_installed_package_is_found_where_it_is_installed(root: Path) -> None:
    (root / "fleet.toml").touch()

    assert code_folders(find_project({}, root), fleet_of("deploytools")) == [Path(deploytools.__path__[0])]
