"""Model `classes`: a gearbox, healthy or with a broken tooth, at loads that were not learnt."""

import csv
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.vibration import VibrationFeatures
from insitu.inference.classes import Classes
from insitu.types import Feature, Frame, Measurement

LOADS = (0, 30, 60)
WINDOW = 2000
KEYS = [f"c{c}_{key}" for c in range(1, 5) for key in ("rms", "crest", "shape", "band1", "band2", "band3", "band4")]


def measured(data: Path, kind: str, load: int) -> list[dict[str, Feature]]:
    """Features of each window of one recording (README of the data: 4 accelerometers, no rate stated)."""
    values = np.load(data / "line" / "gearbox" / f"{kind}30hz{load}.npy")
    measure, found = VibrationFeatures(n_channels=4), []
    for n in range(len(values) // WINDOW):
        part = np.ascontiguousarray(values[n * WINDOW : (n + 1) * WINDOW].T)
        frame = Frame(source="g", data=part, dims=("channel", "sample"), unit="", time_ns=n, seq=n, n=n)
        found.append(measure(frame, {}, ()))
    return found


def write(folder: Path, name: str, rows: list[dict[str, Feature]]) -> None:
    """A table as `insitu export` writes it."""
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["n", "c1_rms [V]", *KEYS[1:]])
        writer.writerows([i, *(row[key].value for key in KEYS)] for i, row in enumerate(rows))


def judge(model: Classes, features: dict[str, Feature]) -> str:
    told = model(Measurement(source="g", seq=0, n=0, time_ns=0, features=features))
    assert told is not None
    return told.label


@pytest.mark.parametrize("left_out", LOADS)
def test_a_broken_tooth_is_told_at_a_load_that_was_not_learnt(left_out: int, data: Path, tmp_path: Path) -> None:
    for kind, name in (("h", "healthy"), ("b", "broken")):
        for load in LOADS:
            if load != left_out:
                write(tmp_path, f"{name}-load{load}", measured(data, kind, load))
    model = Classes(examples=tmp_path, features=KEYS, normal=["healthy"])
    assert {judge(model, row) for row in measured(data, "h", left_out)} == {"normal"}
    assert {judge(model, row) for row in measured(data, "b", left_out)} == {"anomaly"}


def test_what_is_like_no_example_is_unknown_and_what_lacks_a_number_too(data: Path, tmp_path: Path) -> None:
    for kind, name in (("h", "healthy"), ("b", "broken")):
        for load in LOADS:
            write(tmp_path, f"{name}-load{load}", measured(data, kind, load))
    model = Classes(examples=tmp_path, features=KEYS, normal=["healthy"])
    row = measured(data, "h", 0)[0]
    assert judge(model, row | {"c1_rms": Feature(1e6, "")}) == "unknown"
    assert judge(model, row | {"c1_rms": Feature(0.0, "")}) == "unknown"
    assert judge(model, row | {"c1_rms": Feature(None, "", why="gone")}) == "unknown"
    assert model(Measurement(source="g", seq=0, n=0, time_ns=0)) is None


def test_examples_that_do_not_suffice_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no examples"):
        Classes(examples=tmp_path, features=["a"], normal=["x"])
    (tmp_path / "good-1.csv").write_text("n,a\n0,1\n1,2\n2,nan\n")
    with pytest.raises(ConfigError, match="two classes"):
        Classes(examples=tmp_path, features=["a"], normal=["good"])
    (tmp_path / "bad-1.csv").write_text("n,a\n0,7\n1,8\n")
    with pytest.raises(ConfigError, match="no column 'b'"):
        Classes(examples=tmp_path, features=["b"], normal=["good"])
    with pytest.raises(ConfigError, match="no class 'godo'"):
        Classes(examples=tmp_path, features=["a"], normal=["godo"])
    assert Classes(examples=tmp_path, features=["a"], normal=["good"]).classes == ("bad", "good")
