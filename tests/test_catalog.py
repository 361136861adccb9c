"""What names find: recipes, detectors and runs."""

from pathlib import Path

import pytest

from insitu import catalog
from insitu.errors import NotFoundError

OLD, NEW, NEWEST = (f"0190{i}0000000" for i in range(3))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INSITU_DATA_ROOT", raising=False)
    return tmp_path


def put(path: Path) -> Path:
    """An empty file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return path


@pytest.fixture
def root(here: Path) -> Path:
    """Three runs on two days, and a folder that is none."""
    for day, uid in (("2026-11-21", OLD), ("2026-11-22", NEWEST), ("2026-11-22", NEW)):
        put(here / "data" / "runs" / day / uid / "ledger.db")
    (here / "data" / "runs" / "2026-11-23" / "zzz").mkdir(parents=True)
    return here / "data"


def test_a_shipped_recipe_is_found_by_name(here: Path) -> None:
    assert catalog.find_recipe("xrd_1d") == catalog.shipped_folder("pipelines") / "xrd_1d.toml"


def test_the_current_folder_wins_over_the_shipped_ones(here: Path) -> None:
    put(here / "pipelines" / "xrd_1d.toml")
    assert catalog.find_recipe("xrd_1d") == Path("pipelines/xrd_1d.toml")


def test_a_path_wins_over_names(here: Path) -> None:
    mine = put(here / "elsewhere" / "xrd_1d.toml")
    put(here / "pipelines" / "xrd_1d.toml")
    assert catalog.find_recipe(str(mine)) == mine
    assert catalog.find_recipe("elsewhere/xrd_1d.toml") == Path("elsewhere/xrd_1d.toml")


def test_an_unknown_recipe_is_refused_with_the_nearest_and_all(here: Path) -> None:
    put(here / "pipelines" / "my_ramp.toml")
    with pytest.raises(NotFoundError) as e:
        catalog.find_recipe("xrd_heatin_demo")
    assert 'Did you mean "xrd_heating_demo"?' in str(e.value)
    assert "my_ramp" in str(e.value)
    with pytest.raises(NotFoundError, match=r"there is no recipe file pipelines/xrd_1d.tml"):
        catalog.find_recipe("pipelines/xrd_1d.tml")


def test_a_detector_is_looked_for_here_then_beside_the_recipe_then_shipped(here: Path) -> None:
    recipe = put(here / "beamline" / "pipelines" / "ramp.toml")
    assert catalog.find_detector("bench_xrd", recipe) == catalog.shipped_folder("detectors") / "bench_xrd.toml"
    beside = put(here / "beamline" / "detectors" / "bench_xrd.toml")
    assert catalog.find_detector("bench_xrd", recipe) == beside
    put(here / "detectors" / "bench_xrd.toml")
    assert catalog.find_detector("bench_xrd", recipe) == Path("detectors/bench_xrd.toml")


def test_the_path_of_a_detector_starts_at_its_recipe(here: Path) -> None:
    recipe = put(here / "beamline" / "pipelines" / "ramp.toml")
    mine = put(here / "beamline" / "pipelines" / "mine.toml")
    assert catalog.find_detector("mine.toml", recipe) == mine


def test_an_unknown_detector_is_refused_with_the_nearest(here: Path) -> None:
    with pytest.raises(NotFoundError, match=r'no detector is named "bench_xrf".*Did you mean "bench_xrd"'):
        catalog.find_detector("bench_xrf", here)


def test_a_run_is_found_by_path_uid_prefix_and_last(root: Path) -> None:
    newest = root / "runs" / "2026-11-22" / NEWEST
    for what in (str(newest), NEWEST, NEWEST[:5], "last"):
        assert catalog.find_run(what, root) == newest
    assert catalog.find_run(OLD, root) == root / "runs" / "2026-11-21" / OLD


def test_a_uid_that_another_one_begins_with_is_still_found(root: Path) -> None:
    longer = put(root / "runs" / "2026-11-22" / (NEW + "ff") / "ledger.db").parent
    assert catalog.find_run(NEW, root).name == NEW
    assert catalog.find_run(NEW + "f", root) == longer


def test_a_beginning_of_several_uids_is_refused_with_all_of_them(root: Path) -> None:
    with pytest.raises(NotFoundError) as e:
        catalog.find_run("0190", root)
    assert "begins the uid of 3 runs" in str(e.value)
    assert all(uid in str(e.value) for uid in (OLD, NEW, NEWEST))


@pytest.mark.parametrize("what", ["9999", "", "zzz"])
def test_a_run_that_is_not_there_is_refused(what: str, root: Path) -> None:
    with pytest.raises(NotFoundError, match="no run is called"):
        catalog.find_run(what, root)


def test_a_root_without_runs_says_so(here: Path) -> None:
    with pytest.raises(NotFoundError, match="there are no runs"):
        catalog.find_run("last", here)


def test_the_data_root_is_given_or_of_the_environment_or_here(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert catalog.data_root() == Path("insitu-data")
    monkeypatch.setenv("INSITU_DATA_ROOT", str(here))
    assert catalog.data_root() == here
    assert catalog.data_root(Path("x")) == Path("x")


def test_shipped_files_of_an_installed_package_are_found(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(here / "site" / "insitu" / "_shipped" / "pipelines" / "only.toml")
    monkeypatch.setattr(catalog, "__file__", str(here / "site" / "insitu" / "catalog.py"))
    assert [path.stem for path in catalog.shipped("pipelines")] == ["only"]
    assert catalog.find_recipe("only").parent.name == "pipelines"


def test_a_path_that_is_no_run_is_told_for_what_it_is(root: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"this is a data root.*--data-root"):
        catalog.find_run(root)
    (tmp_path / "lost").mkdir()
    with pytest.raises(NotFoundError, match="this folder is not a run"):
        catalog.find_run(tmp_path / "lost", root)
    (tmp_path / "lost" / "recipe.toml").touch()
    with pytest.raises(NotFoundError, match=r"lost its ledger\.db"):
        catalog.find_run(tmp_path / "lost", root)
    with pytest.raises(NotFoundError, match="no such folder"):
        catalog.find_run(tmp_path / "nowhere", root)
