"""The shipped recipes `video_segmentation` and `barkhausen_state`: what their networks say of frames."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import io

from insitu.config import load
from insitu.readers.movie import Movie
from insitu.training.barkhausen import simulated
from insitu.training.segmentation import overlap_of
from insitu.types import Arrival, Feature, Frame, Record


def records(recipe: str, arrivals: Any) -> list[Record]:
    pipeline, told = load(recipe, inputs="unused").pipeline(), []
    for arrival in arrivals:
        if isinstance(arrival, Arrival):
            n = len(told)
            told.append(pipeline.step(Frame(seq=n, n=n, **{f.name: getattr(arrival, f.name) for f in fields(Arrival)})))
    return told


def test_a_micrograph_gets_its_map_and_a_strange_one_is_not_called_known(data: Path) -> None:
    folder = data / "video" / "superalloy_dev"
    (record,) = records("video_segmentation", Movie(str(folder / "spot3_0d_3.png"))())
    truth = io.imread(folder / "spot3_0d_3_mask.png")
    fraction = record.measurement.features["segment_coarse_fraction"]
    assert isinstance(fraction, Feature)
    assert fraction.value == pytest.approx((truth == 2).mean(), abs=0.05)
    map_ = record.measurement.arrays["segment_map"].values
    assert overlap_of(map_, truth, 2) > 0.9
    assert record.verdicts["known"].label == "normal"
    assert record.verdicts["known"].model.startswith("sha256:")


@pytest.mark.parametrize(("state", "label"), [("annealed", "normal"), ("hardened", "anomaly")])
def test_the_state_of_a_simulated_sample_is_told(state: str, label: str) -> None:
    told = records("barkhausen_state", simulated(state, np.random.default_rng(5), 901_000)())
    assert [record.verdicts["state"].label for record in told] == [label, label]
