"""Oxide layers on real cross-sections, and a drawn layer whose thickness is known."""

import json

import numpy as np
import pytest
from skimage import io

from insitu.errors import ConfigError
from insitu.features.layers import Layers
from insitu.maths.video.layers import find_layer
from insitu.types import Frame

NAMES = ("021519_3_1426C-100cyc0008", "040617_3_S0410028", "111418_4_1426_100Cyc0032")


def framed(image: np.ndarray) -> Frame:
    return Frame(source="video", data=image, dims=("y", "x"), unit="counts", time_ns=0, seq=0, n=0)


@pytest.mark.parametrize("name", NAMES)
def test_an_oxide_is_as_thick_as_experts_draw_it(name, data):
    folder = data / "video" / "ebc_dev"
    truth = io.imread(folder / f"{name}_mask.png")
    found = Layers()(framed(io.imread(folder / f"{name}.png")), {}, ())
    assert found["layer_thickness"].value == pytest.approx((truth == 1).sum(0).mean(), rel=0.1)
    map_ = found["layer_map"].values
    assert ((map_ > 0) & (truth > 0)).sum() / ((map_ > 0) | (truth > 0)).sum() > 0.75
    cracks = ((map_ == 2) & (truth == 2)).sum() / ((map_ == 2) | (truth == 2)).sum()
    assert cracks > 0.15, json.dumps({name: float(cracks)})


def test_settings_chosen_on_two_pictures_give_the_thickness_in_the_third(data):
    """Leave one out: the pair of settings that is best on the other two, whichever picture is left out."""
    folder = data / "video" / "ebc_dev"
    images = [io.imread(folder / f"{name}.png") for name in NAMES]
    truths = [(io.imread(folder / f"{name}_mask.png") == 1).sum(0).mean() for name in NAMES]
    off = np.array(
        [
            [find_layer(i, tolerance=t, widest=w).thickness.mean() / d - 1 for i, d in zip(images, truths, strict=True)]
            for t in (0.06, 0.08, 0.1, 0.14)
            for w in (0.04, 0.08, 0.12)
        ]
    )
    for left_out in range(3):
        others = [k for k in range(3) if k != left_out]
        chosen = np.abs(off[:, others]).max(axis=1).argmin()
        assert abs(off[chosen, left_out]) < 0.1


def drawn(cracked: bool) -> np.ndarray:
    """A layer of 100 px between bright and dark matter, parted from the latter by a line, with a crack or without."""
    image = np.full((512, 512), 90.0)
    image[:200], image[300:302] = 220.0, 60.0
    if cracked:
        image[210:292, 250:258] = 30.0
    return np.clip(image + np.random.default_rng(0).normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def test_a_drawn_layer_is_measured_to_a_few_pixels():
    found = Layers()(framed(drawn(False)), {}, ())
    assert found["layer_thickness"].value == pytest.approx(100.0, abs=4.0)
    assert found["layer_cracks"].value == 0
    assert found["layer_crack_length"].value == 0.0


def test_a_drawn_crack_is_found_once_with_its_length():
    found = Layers(pixel_size=0.5)(framed(drawn(True)), {}, ())
    assert found["layer_cracks"].value == 1
    assert found["layer_crack_length"].value == pytest.approx(41.0, abs=6.0)
    assert found["layer_crack_length"].unit == "um"


@pytest.mark.parametrize(
    "image", [np.full((200, 200), 5, np.uint8), np.zeros((40, 40), np.uint8), np.full((200, 200), np.nan)]
)
def test_what_cannot_be_measured_says_why(image):
    extract = Layers()
    found = extract(framed(image), {}, ())
    assert found.keys() == extract.outputs.keys()
    assert all(value.value is None and value.why for value in found.values())


@pytest.mark.parametrize("keys", [{"thinnest": 0}, {"margin": 0.9}, {"crack_rise": 0.0}, {"name": "A"}])
def test_impossible_settings_are_refused(keys):
    with pytest.raises(ConfigError):
        Layers(**keys)
