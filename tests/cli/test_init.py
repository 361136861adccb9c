"""`insitu init`: what it writes loads, says what it is for, and replaces nothing."""

import tomllib
from pathlib import Path

import pytest

from insitu import catalog


def test_a_recipe_with_a_halt_is_written_and_passes_check(insitu, tmp_path):
    said = insitu(
        "init", "my_ramp", "--title", 'Ramp "one"', "--window", "28.2", "28.7", "--keep", "28.3", "28.6",
        "--count", "4", "--wavelength", "0.4133 angstrom", "--folder", tmp_path, "--json",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert said.body.keys() == {"recipe", "written"}
    assert [Path(p).relative_to(tmp_path).as_posix() for p in said.body["written"]] == [
        "pipelines/my_ramp.toml",
        "detectors/my_ramp.toml",
    ]
    recipe = tomllib.loads((tmp_path / "pipelines" / "my_ramp.toml").read_text())
    assert recipe["title"] == 'Ramp "one"'
    assert recipe["models"][0]["low"] == "28.3 deg"
    assert recipe["rules"][0] == {"use": "halt_after", "model": "place", "count": 4}
    assert insitu("check", tmp_path / "pipelines" / "my_ramp.toml").code == 0


def test_without_a_window_it_only_looks_for_a_change(insitu, tmp_path):
    assert insitu("init", "plain", "--folder", tmp_path).code == 0
    body = insitu("check", tmp_path / "pipelines" / "plain.toml", "--json").body
    assert [model["use"] for model in body["models"]] == ["change_point"]
    assert body["rules"] == []


def test_nothing_is_replaced(insitu, tmp_path):
    assert insitu("init", "plain", "--folder", tmp_path).code == 0
    (tmp_path / "pipelines" / "plain.toml").unlink()
    (tmp_path / "detectors" / "plain.toml").write_text("mine")
    said = insitu("init", "plain", "--folder", tmp_path)
    assert said.code == 2
    assert "detectors/plain.toml" in said.err
    assert (tmp_path / "detectors" / "plain.toml").read_text() == "mine"
    assert not (tmp_path / "pipelines" / "plain.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "needs a name"),
        (("My Ramp",), "My Ramp"),
        (("r", "--window", "28.7", "28.2"), "--window"),
        (("r", "--keep", "28.2", "28.7"), "--window"),
        (("r", "--window", "28", "29", "--keep", "10", "12"), "inside the window"),
        (("r", "--wavelength", "0 angstrom"), "more than 0"),
        (("--copy", "no_such"), "no_such"),
    ],
)
def test_answers_that_make_no_sense_are_told(insitu, tmp_path, arguments, told):
    said = insitu("init", *arguments, "--folder", tmp_path)
    assert said.code == 2
    assert told in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_unit_is_told_at_once(insitu, tmp_path):
    assert insitu("init", "r", "--wavelength", "0.4 kg", "--folder", tmp_path).code == 2


@pytest.mark.parametrize("recipe", [path.stem for path in catalog.shipped("pipelines")])
def test_every_shipped_recipe_can_be_copied_with_its_detectors(insitu, tmp_path, recipe):
    said = insitu("init", "--copy", recipe, "--folder", tmp_path, "--json")
    assert said.code == 0, said.err
    assert (tmp_path / "pipelines" / f"{recipe}.toml").read_bytes() == (
        catalog.shipped_folder("pipelines") / f"{recipe}.toml"
    ).read_bytes()
    assert list((tmp_path / "detectors").iterdir()) != []


def test_ranges_are_written_as_exactly_as_they_were_given(insitu, tmp_path):
    insitu("init", "r", "--window", "28.123456", "28.7", "--keep", "28.2345678", "28.6", "--folder", tmp_path)
    text = (tmp_path / "pipelines" / "r.toml").read_text()
    assert '"28.123456 deg"' in text
    assert '"28.2345678 deg"' in text
