"""Every recipe and detector that is shipped loads, describes itself and reads back."""

from pathlib import Path

import orjson
import pytest

from insitu import catalog
from insitu.config import describe, load, load_stored, render
from tests.config.recipes import digests, stored

SHIPPED = [*catalog.shipped("pipelines")]
PONI = """poni_version: 2.1
Detector: Detector
Detector_config: {"pixel1": 1e-4, "pixel2": 1e-4, "max_shape": [64, 64]}
Distance: 0.2
Poni1: 0.003
Poni2: 0.003
Rot1: 0
Rot2: 0
Rot3: 0
Wavelength: 1e-10
"""


def needed(recipe: str, folder: Path) -> list[str]:
    """What a shipped recipe has to be given before it can run: files that only its user has."""
    if recipe != "xrd_2d":
        return []
    (folder / "a.poni").write_text(PONI)
    return [f"detector.geometry.poni={folder / 'a.poni'}"]


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_a_shipped_recipe_loads_describes_and_reads_back(path: Path, tmp_path: Path) -> None:
    setup = load(path, purpose="check", sets=needed(path.stem, tmp_path))
    assert (setup.name, bool(setup.title)) == (path.stem, True)
    again = load_stored(stored(setup, tmp_path))
    assert (again.recipe_toml, digests(again)) == (setup.recipe_toml, digests(setup))
    description = describe(setup)
    assert orjson.loads(orjson.dumps(description)) == description
    text = render(description)
    assert all(key in text for keys in setup.outputs.values() for key in keys)
    assert all(source.detector.source in text for source in setup.sources)


@pytest.mark.parametrize("path", catalog.shipped("detectors"), ids=lambda path: path.stem)
def test_a_shipped_detector_loads(path: Path) -> None:
    setup = load({"format": 1, "detectors": [str(path)]}, purpose="check")
    assert setup.sources[0].detector.name == path.stem


def test_there_are_shipped_recipes() -> None:
    assert {"xrd_1d", "xrd_heating_demo"} <= {path.stem for path in SHIPPED}
