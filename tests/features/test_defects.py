"""Defect maps: as scikit-image makes them, as experts draw them, and as the simulator knows them."""

from dataclasses import replace

import numpy as np
import pytest
from skimage import filters, io, measure

from insitu.errors import ConfigError
from insitu.features.defects import Defects, shrunk
from insitu.maths.video.regions import regions_of
from insitu.readers.simulated_precipitates import Precipitates
from insitu.types import ArrayFeature, Detector, Feature, Frame

COARSE = {"threshold": "edges", "smoothing": 1.0, "block": 31, "offset": 0.2, "opening": 7, "min_area": 600}
SPOTS = ("spot3_0d_3", "spot4_180d_2", "spot5_0d_0", "spot6_180d_7", "spot7_180d_3")


def framed(image: np.ndarray, **keys) -> Frame:
    return Frame(source="video", data=image, dims=("y", "x"), unit="counts", time_ns=0, seq=0, n=0, **keys)


@pytest.mark.parametrize("spot", SPOTS)
def test_the_map_and_its_regions_are_those_of_scikit_image(spot, data):
    image = io.imread(data / "video" / "superalloy_dev" / f"{spot}.png")
    smoothed = filters.gaussian(image, 2, preserve_range=True)
    theirs = smoothed > filters.threshold_local(smoothed, 101, method="mean")
    ours = Defects(polarity="bright").mask(image)
    assert (ours == theirs).all()
    labels = measure.label(theirs, connectivity=2)
    assert (regions_of(ours).labels == labels).all()


def intersection_over_union(spot: str, data, extractor: Defects) -> tuple[float, float]:
    folder = data / "video" / "superalloy_dev"
    truth = io.imread(folder / f"{spot}_mask.png") == 2
    found = extractor(framed(io.imread(folder / f"{spot}.png")), {}, ())
    mask = found["defect_map"].values > 0
    return (mask & truth).sum() / (mask | truth).sum(), found["defect_area_fraction"].value - truth.mean()


def test_coarse_precipitates_are_where_experts_draw_them(data):
    """With one set of parameters. It came from all five images, but the best for four of them gives the fifth an
    overlap of 0.81 or more each time."""
    found = [intersection_over_union(spot, data, Defects(**COARSE, fill=2000)) for spot in SPOTS]
    assert np.mean([iou for iou, _ in found]) >= 0.85
    assert min(iou for iou, _ in found) >= 0.75
    assert max(abs(off) for _, off in found) <= 0.05


def test_parameters_chosen_on_four_images_hold_for_the_fifth(data):
    choices = [
        Defects(**{**COARSE, "offset": offset, "min_area": area}, fill=2000)
        for offset in (0.1, 0.2, 0.3)
        for area in (400, 700)
    ]
    table = np.array([[intersection_over_union(spot, data, e) for spot in SPOTS] for e in choices])
    held = []
    for k in range(len(SPOTS)):
        others = [j for j in range(len(SPOTS)) if j != k]
        held.append(table[table[:, others, 0].mean(axis=1).argmax(), k])
    assert np.mean([iou for iou, _ in held]) >= 0.8
    assert max(abs(off) for _, off in held) <= 0.05


@pytest.mark.parametrize("bits", [8, 16])
def test_simulated_precipitates_are_counted_and_measured(bits):
    reader = Precipitates(seed=3, bits=bits)
    extract = Defects(threshold="otsu", background=151, smoothing=1.0, min_area=12, fill=200)
    for index in (25, 50):
        found, truth = extract(framed(reader.arrival(index).data), {}, ()), reader.truth(index)
        assert found["defect_count"].value == pytest.approx(truth.count, abs=2)
        assert found["defect_area_fraction"].value == pytest.approx(truth.area_fraction, rel=0.05)
        assert found["defect_diameter_mean"].value == pytest.approx(truth.diameter_mean, rel=0.03)


def test_lengths_are_in_um_where_the_pixel_size_is_known():
    image = np.full((64, 64), 200, np.uint8)
    image[20:30, 20:30], image[20:30, 44:54] = 50, 50
    detector = Detector(name="d", source="video", calibration={"pixel_size": Feature(500.0, "nm")})
    plain = Defects(threshold="otsu", smoothing=0)(framed(image), {}, ())
    scaled = Defects(threshold="otsu", smoothing=0, detector=detector)(framed(image), {}, ())
    assert plain["defect_nearest"] == Feature(24.0, "px")
    assert scaled["defect_nearest"] == Feature(12.0, "um")
    assert scaled["defect_contrast"] == Feature(150.0, "counts")
    assert plain["defect_diameter_mean"].value == pytest.approx((400 / np.pi) ** 0.5)


def test_masked_pixels_are_not_looked_at():
    image = np.full((40, 40), 200, np.uint8)
    image[:20, :10] = 50
    mask = np.zeros(image.shape, bool)
    mask[20:] = True
    found = Defects(threshold="otsu", smoothing=0)(framed(image, mask=mask), {}, ())
    assert found["defect_area_fraction"].value == 0.25


@pytest.mark.parametrize(
    "frame",
    [
        framed(np.full((32, 32), 9, np.uint8)),
        framed(np.full((32, 32), np.nan)),
        replace(framed(np.zeros(5)), dims=("x",)),
    ],
    ids=["flat", "nan", "curve"],
)
def test_what_cannot_be_measured_says_why(frame):
    extract = Defects(threshold="otsu")
    found = extract(frame, {}, ())
    assert found.keys() == extract.outputs.keys()
    assert all(value.value is None and value.why for value in found.values())


def test_an_image_without_defects_has_a_map_and_says_why_there_are_no_sizes():
    found = Defects(min_area=10**6)(framed(np.arange(1024, dtype=np.uint16).reshape(32, 32)), {}, ())
    assert found["defect_count"].value == 0
    assert found["defect_area_fraction"].value == 0.0
    assert found["defect_diameter_mean"].why == "no defect was found"
    assert isinstance(found["defect_map"], ArrayFeature)


def test_the_preview_is_the_share_of_each_square():
    mask = np.zeros((20, 20), bool)
    mask[:10, :5] = True
    assert shrunk(mask, 10).tolist() == [[127, 0], [0, 0]]


@pytest.mark.parametrize("keys", [{"block": 10}, {"smoothing": -1.0}, {"min_area": 9, "max_area": 3}, {"name": "A"}])
def test_impossible_settings_are_refused(keys):
    with pytest.raises(ConfigError):
        Defects(**keys)
