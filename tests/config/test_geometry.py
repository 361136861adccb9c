"""Geometry of area detectors, files and folders that a recipe names, and detectors handed to what asks for them."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from insitu.config import load, load_stored, stored_detectors
from insitu.errors import ConfigError
from insitu.run import run
from insitu.store.runs import StoredRun
from insitu.types import Arrival, Detector, Feature, Frame, Geometry, Output

HERE = f"{__name__}:"


class Images:
    """Two images of 2 x 3 pixels."""

    def __init__(self, *, detector: Detector | None = None) -> None:
        self.detector = detector

    def __call__(self):
        for seq in range(2):
            data = np.arange(6, dtype="i4").reshape(2, 3) + 10 * seq
            yield Arrival(source="x", data=data, dims=("y", "x"), unit="counts", time_ns=seq, source_seq=seq)


class Told:
    """A prepare and a feature that keep what they were told."""

    outputs: dict[str, Output]

    def __init__(self, *, table: Path | None = None, detector: Detector | None = None, name: str = "told") -> None:
        self.detector = detector
        self.lines = sum(p.read_text().count("\n") for p in files_of(table))
        self.outputs = {f"{name}_lines": Output(unit="")}

    def __call__(self, frame, refs, before):
        return {key: Feature(self.lines, "") for key in self.outputs}


def files_of(path: Path | None) -> list[Path]:
    return [] if path is None else sorted(path.iterdir()) if path.is_dir() else [path]


class Halved:
    """A prepare that leaves a line of the image, and says whose detector it was given."""

    def __init__(self, *, detector: Detector | None = None) -> None:
        self.detector = detector

    def __call__(self, frame: Frame, refs):
        if frame.seq == 1:
            raise ValueError("no second image, please")
        return replace(frame, data=frame.data[0], dims=("x",))


class Size:
    """How many points a feature sees."""

    def __init__(self, *, name: str, raw: bool) -> None:
        self.key, self.raw = f"{name}_size", raw
        self.outputs = {self.key: Output(unit="")}

    def __call__(self, frame, refs, before):
        return {self.key: Feature(frame.data.size, "")}


def detector(source: str = "det", **geometry: Any) -> dict[str, Any]:
    table = {"format": 1, "source": source, "dims": ["y", "x"], "reader": {"use": f"{HERE}Images"}}
    return {**table, "geometry": geometry} if geometry else table


def recipe(*features: dict[str, Any], prepare: list[dict[str, Any]] | None = None, detectors: tuple[str, ...] = ("d",)):
    return {"format": 1, "detectors": list(detectors), "prepare": prepare or [], "features": list(features)}


def test_the_geometry_of_a_detector_is_read_with_its_files(tmp_path):
    (tmp_path / "a.poni").write_text("poni_version: 2.1\n")
    table = detector(poni=str(tmp_path / "a.poni"), flip="up_down", polarization="none", low=1.5)
    setup = load(recipe(), detectors={"d": table})
    made = setup.sources[0].detector.geometry
    assert made == Geometry(poni=tmp_path / "a.poni", flip="up_down", polarization=None, low=1.5)
    assert setup.files == {"a.poni": tmp_path / "a.poni"}
    assert 'poni = "files/a.poni"' in setup.detectors_toml


@pytest.mark.parametrize(
    ("geometry", "told"),
    [
        ({"poni": "nowhere.poni"}, "there is no file"),
        ({"flip": "sideways"}, "up_down"),
        ({"pony": "a.poni"}, "Did you mean"),
        ({"polarization": 2.0}, "-1 to 1"),
    ],
)
def test_an_impossible_geometry_is_refused_with_its_key(geometry, told):
    with pytest.raises(ConfigError, match=told) as e:
        load(recipe(), detectors={"d": detector(**geometry)})
    assert "geometry" in str(e.value)


def test_a_file_named_on_the_command_line_is_looked_up_where_it_was_typed(tmp_path, monkeypatch):
    for folder in ("detectors", "typed"):
        (tmp_path / folder).mkdir()
    (tmp_path / "typed" / "b.poni").write_text("poni_version: 2.1\n")
    text = f'format = 1\nsource = "det"\ndims = ["y", "x"]\n[reader]\nuse = "{HERE}Images"\n'
    (tmp_path / "detectors" / "d.toml").write_text(text)
    monkeypatch.chdir(tmp_path / "typed")
    load(
        recipe(),
        search=lambda name, near: tmp_path / "detectors" / "d.toml",
        sets=["detector.geometry.poni=b.poni"],
    )
    with pytest.raises(ConfigError, match="current folder"):
        load(
            recipe(),
            search=lambda name, near: tmp_path / "detectors" / "d.toml",
            sets=["detector.geometry.poni=c.poni"],
        )


def test_a_run_keeps_the_files_and_folders_that_it_was_made_with(tmp_path):
    (tmp_path / "cifs").mkdir()
    for i in range(3):
        (tmp_path / "cifs" / f"{i}.cif").write_text("data\n" * (i + 1))
    (tmp_path / "a.poni").write_text("poni_version: 2.1\n")
    feature = {"use": f"{HERE}Told", "table": str(tmp_path / "cifs")}
    setup = load(recipe(feature), detectors={"d": detector(poni=str(tmp_path / "a.poni"))})
    summary = run(setup, data_root=tmp_path / "data")
    folder = Path(summary.path)
    shutil.rmtree(tmp_path / "cifs")
    (tmp_path / "a.poni").unlink()
    again = load_stored(folder)
    assert again.pipeline().extractors[0].call.lines == 6
    geometry = again.sources[0].detector.geometry
    assert geometry is not None
    assert geometry.poni is not None
    assert geometry.poni.read_text() == "poni_version: 2.1\n"
    other = load(recipe(), detectors=stored_detectors(folder))
    assert other.files == {"a.poni": folder.absolute() / "files" / "a.poni"}


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds 0 files"):
        load(recipe({"use": f"{HERE}Told", "table": str(tmp_path)}), detectors={"d": detector()})


def test_what_sees_frames_of_one_source_is_handed_its_detector():
    two = {"a": detector("one"), "b": detector("two")}
    entries = [{"use": f"{HERE}Told", "source": "two"}, {"use": f"{HERE}Told", "name": "both"}]
    pipeline = load(recipe(*entries, detectors=("a", "b")), detectors=two).pipeline()
    assert pipeline.extractors[0].call.detector.source == "two"
    assert pipeline.extractors[1].call.detector is None
    alone = load(recipe(prepare=[{"use": f"{HERE}Halved"}]), detectors={"d": detector()}).pipeline()
    assert alone.prepares[0].call.detector.source == "det"


def test_a_raw_feature_sees_the_frame_as_it_arrived_also_where_it_could_not_be_prepared(tmp_path):
    features: list[dict[str, Any]] = [
        {"use": f"{HERE}Size", "name": "before", "raw": True},
        {"use": f"{HERE}Size", "name": "after", "raw": False},
    ]
    setup = load(recipe(*features, prepare=[{"use": f"{HERE}Halved"}]), detectors={"d": detector()})
    with StoredRun(run(setup, data_root=tmp_path).path) as stored:
        found = [record["features"] for record in stored.records()]
    assert [f["before_size"]["value"] for f in found] == [6, 6]
    assert found[0]["after_size"]["value"] == 3
    assert "no second image" in found[1]["after_size"]["why"]
