"""What a run stores of its recipe makes the same pipeline again."""

import tomllib
from pathlib import Path

import pytest

from insitu.config import load, load_stored, stored_detectors
from insitu.errors import NotFoundError, UsageError
from tests.config.recipes import DETECTORS, RECIPE, digests, one, stored


def test_what_a_run_stores_makes_the_same_pipeline(tmp_path: Path) -> None:
    setup = load(RECIPE, detectors=DETECTORS, sets=["models.limits.low=90 counts deg", "detector.left.reader.seed=7"])
    again = load_stored(stored(setup, tmp_path))
    assert (again.recipe_toml, again.detectors_toml) == (setup.recipe_toml, setup.detectors_toml)
    assert digests(again) == digests(setup)
    assert again.outputs == setup.outputs
    assert [s.detector for s in again.sources] == [s.detector for s in setup.sources]
    assert (again.budget, again.policy, again.simulated) == (setup.budget, setup.policy, True)


def test_what_a_run_stores_holds_every_default() -> None:
    recipe = tomllib.loads(load(one(), detectors=DETECTORS).recipe_toml)
    assert recipe["models"][0]["window"] == 50
    assert recipe["budget"]["linger"] == "5 s"


def test_a_default_written_out_does_not_change_a_digest_and_another_value_does() -> None:
    first = load(one(), detectors=DETECTORS)
    same = load(one(), detectors=DETECTORS, sets=["models.limits.window=50"])
    other = load(one(), detectors=DETECTORS, sets=["models.limits.window=60"])
    assert digests(first) == digests(same)
    assert digests(first)["limits"] != digests(other)["limits"]
    assert digests(first)["limits"].startswith("blake3:")


def test_a_stored_run_does_not_look_at_its_readers(tmp_path: Path) -> None:
    folder = stored(load(one(), detectors=DETECTORS), tmp_path)
    text = (folder / "detectors.toml").read_text().replace("simulated.diffractometer", "lost_lab:Reader")
    (folder / "detectors.toml").write_text(text)
    setup = load_stored(folder)
    with pytest.raises(UsageError, match="not read from its instrument again"):
        setup.sources[0].reader()


def test_another_recipe_runs_on_the_detectors_of_a_stored_run(tmp_path: Path) -> None:
    folder = stored(load(one(), detectors=DETECTORS), tmp_path)
    other = load(one(models=[], rules=[]), detectors=stored_detectors(folder), purpose="replay")
    assert other.sources[0].detector.source == "l"


def test_the_recipe_of_a_stored_run_by_path_is_a_replay(tmp_path: Path) -> None:
    folder = stored(load(one(), detectors=DETECTORS), tmp_path)
    text = (folder / "detectors.toml").read_text().replace("simulated.diffractometer", "lost_lab:Reader")
    (folder / "detectors.toml").write_text(text)
    setup = load(str(folder / "recipe.toml"), sets=["models.limits.low=10 counts deg"])
    assert 'low = "10 counts deg"' in setup.recipe_toml


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"has no recipe.toml"):
        load_stored(tmp_path)


def test_a_file_that_a_recipe_names_goes_with_the_run(tmp_path: Path) -> None:
    (tmp_path / "empty.npy").write_bytes(b"not read here")
    recipe = one(references=[{"name": "empty", "file": str(tmp_path / "empty.npy")}])
    setup = load(recipe, detectors=DETECTORS)
    assert setup.files == {"empty.npy": tmp_path / "empty.npy"}
    assert str(tmp_path) not in setup.recipe_toml
    again = load_stored(stored(setup, tmp_path / "run"))
    assert again.references[0].file == tmp_path / "run" / "files" / "empty.npy"
    assert again.references[0].source == "l"
