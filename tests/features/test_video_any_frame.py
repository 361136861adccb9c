"""Every feature of video on pictures that show nothing: it says why, and does not fail."""

from importlib import import_module

import numpy as np
import pytest

from insitu.features import FEATURES
from insitu.types import ArrayFeature, Frame

NAMES = ("defects", "front", "grains", "layers", "particles", "video.drift", "video.quality")


def holed() -> np.ndarray:
    image = np.random.default_rng(0).normal(100.0, 10.0, (128, 160))
    image[30:60, 40:90] = np.nan
    return image


PICTURES = {
    "empty": np.zeros((0, 0), np.uint8),
    "one row": np.zeros((1, 200), np.uint16),
    "one pixel": np.full((1, 1), 7, np.uint8),
    "seven pixels": np.arange(7, dtype=np.uint8).reshape(1, 7),
    "constant": np.full((128, 160), 100, np.uint8),
    "black": np.zeros((128, 160), np.uint16),
    "holes": holed(),
    "all holes": np.full((128, 160), np.nan),
    "infinite": np.where(holed() > 100, np.inf, 1.0),
    "checks": (np.indices((128, 160)).sum(0) % 2 * 255).astype(np.uint8),
    "noise": np.random.default_rng(1).integers(0, 65535, (128, 160)).astype(np.uint16),
    "signed": np.random.default_rng(1).integers(-500, 500, (128, 160)).astype(np.int32),
    "a line": np.zeros(50, np.uint8),
}


@pytest.fixture(scope="module")
def extractors():
    made = {}
    for name in NAMES:
        module, factory = FEATURES[name].split(":")
        made[name] = getattr(import_module(module), factory)(**({"diameter": 11} if name == "particles" else {}))
    return made


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("picture", PICTURES)
def test_a_picture_that_shows_nothing_is_measured_or_it_is_said_why_not(name, picture, extractors):
    extract, image = extractors[name], PICTURES[picture]
    dims = ("y", "x") if image.ndim == 2 else ("x",)
    before, frame = (
        Frame(source="video", data=image, dims=dims, unit="counts", time_ns=k, seq=k, n=k) for k in range(2)
    )
    found = extract(frame, {}, (before,) * getattr(extract, "before", 0))
    assert set(found) == set(extract.outputs)
    for key, value in found.items():
        if isinstance(value, ArrayFeature):
            assert not np.isinf(np.asarray(value.values, float)).any(), key  # NaN: rows of tables without a particle
        elif value.value is None:
            assert value.why.strip(), key
        else:
            assert np.isfinite(value.value), key
