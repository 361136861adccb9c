from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.maths.diffraction.azimuthal import Cut, integrator_of
from insitu.maths.diffraction.geometry import read_setting
from insitu.maths.diffraction.raw_image import RawImage
from insitu.types import Detector, Geometry
from tests import ceo2

pytest.importorskip("pyFAI")

SHAPE = (90, 110)
POINT = "Distance: 0.1\nPoni1: 0.0045\nPoni2: 0.0055\nRot1: 0\nRot2: 0\nRot3: 0\n"
SHAPED = 'Detector: Detector\nDetector_config: {"pixel1": 1e-4, "pixel2": 1e-4, "max_shape": [90, 110]}\n'


def detector(folder: Path, poni: str = SHAPED, **geometry) -> Detector:
    (folder / "a.poni").write_text("poni_version: 2\n" + poni + POINT)
    return Detector(name="a", source="det", geometry=Geometry(poni=folder / "a.poni", **geometry))


def images(known: Detector, *bins: int) -> list[RawImage]:
    setting = read_setting(known, "a test")
    return [RawImage(setting, Cut(bins=n, split="no"), known) for n in bins]


def laid_out() -> int:
    return integrator_of.cache_info().misses


def test_the_layout_is_ready_before_the_first_frame_where_the_poni_says_the_shape(tmp_path: Path) -> None:
    (image,) = images(detector(tmp_path), 64)
    before = laid_out()
    image.pattern(ceo2.frame(np.ones(SHAPE, dtype=np.int32)), {})
    assert laid_out() == before


def test_many_layouts_do_not_throw_each_other_out(tmp_path: Path) -> None:
    many = images(detector(tmp_path), *range(50, 60))
    frame = ceo2.frame(np.ones(SHAPE, dtype=np.int32))
    for image in many:
        image.pattern(frame, {})
    before = laid_out()
    for image in many:
        image.pattern(frame, {})
    assert laid_out() == before


def test_frames_of_another_shape_get_a_layout_of_their_own(tmp_path: Path) -> None:
    pixels = 'Detector: Detector\nDetector_config: {"pixel1": 1e-4, "pixel2": 1e-4}\n'
    (image,) = images(detector(tmp_path, pixels), 64)
    for shape in (SHAPE, (70, 80), SHAPE):
        found = image.pattern(ceo2.frame(np.full(shape, 7, dtype=np.int32)), {})
        assert found.signal.sum() == 7 * shape[0] * shape[1]


def test_a_mask_of_another_detector_is_refused_before_the_run(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.zeros((91, 110), dtype=np.uint8))
    with pytest.raises(ConfigError, match="91 x 110"):
        images(detector(tmp_path, mask=tmp_path / "mask.npy"), 64)
