from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.rings import Rings
from insitu.inference.limits import Limits
from insitu.types import Detector, Feature, Flip, Geometry, Measurement
from tests import ceo2

SHAPE, PIXEL, DISTANCE = (700, 640), 1e-4, 0.1
TWO_THETA = (4.0, 6.5, 9.0, 12.0)
"""Rings of the simulated detector, deg."""


def detector(folder: Path, **keys) -> Detector:
    path = folder / "flat.poni"
    y, x = 0.5 * SHAPE[0] * PIXEL, 0.5 * SHAPE[1] * PIXEL
    path.write_text(
        f"PixelSize1: {PIXEL}\nPixelSize2: {PIXEL}\nDistance: {DISTANCE}\nPoni1: {y}\nPoni2: {x}\n"
        "Rot1: 0\nRot2: 0\nRot3: 0\nWavelength: 4e-11\n"
    )
    geometry = Geometry(poni=path, solid_angle=False, polarization=None, **keys)
    return Detector(name="a", source="det", geometry=geometry)


def rings(*, centre_mm=(0.0, 0.0), strain=0.0, along_deg=0.0, amplitude=None, seed=0, background=30.0) -> np.ndarray:
    """A perfect powder on an ideal detector: sizes from Bragg's law and plain trigonometry, nothing of ours."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    y = (rows - 0.5 * SHAPE[0]) * PIXEL - 1e-3 * centre_mm[1]
    x = (columns - 0.5 * SHAPE[1]) * PIXEL - 1e-3 * centre_mm[0]
    two_theta, psi = np.degrees(np.arctan(np.hypot(x, y) / DISTANCE)), np.arctan2(y, x)
    height = np.ones(SHAPE) if amplitude is None else amplitude(psi)
    rate = np.full(SHAPE, background)
    for ring in TWO_THETA:
        d = 1.0 + strain * np.cos(2.0 * (psi - np.radians(along_deg)))
        at = 2.0 * np.degrees(np.arcsin(np.sin(np.radians(0.5 * ring)) / d))
        rate += 900.0 * height * np.exp(-0.5 * ((two_theta - at) / 0.08) ** 2)
    return np.random.default_rng(seed).poisson(rate).astype(np.uint16)


def verdict(found: dict[str, Feature], feature: str, high: float) -> str:
    """What the stock model says."""
    units = {key: f.unit for key, f in found.items()}
    model = Limits(feature=feature, high=Feature(high, "deg"), units=units)
    said = model(Measurement(source="det", seq=0, n=0, time_ns=0, features=found))
    assert said is not None
    return said.label


@pytest.mark.parametrize("calibrant", ["", "CeO2"])
@pytest.mark.parametrize(("flip", "label"), [("up_down", "normal"), ("none", "anomaly"), ("left_right", "anomaly")])
def test_the_ceo2_image_passes_only_when_flipped_as_its_poni_wants(data, calibrant, flip: Flip, label) -> None:
    extract = Rings(detector=ceo2.detector(data, flip, calibrant=calibrant))
    found = extract(ceo2.frame(ceo2.image(data)), {}, ())
    assert verdict(found, "ring_wander", 0.03) == label
    if calibrant:
        assert verdict(found, "ring_misfit", 0.03) == label
    else:
        assert found["ring_misfit"].value is None
        assert "calibrant" in found["ring_misfit"].why
    if flip == "none":  # the poni's centre is at row 512.5, the image's at 1043 - 512.5: 18 pixels of 0.172 mm, tilted
        assert found["ring_centre_y"].value == pytest.approx(18 * 0.172, abs=0.2)


def test_the_rings_of_ceo2_are_where_the_readme_says(data) -> None:
    found = Rings(detector=ceo2.detector(data), rings=6)(ceo2.frame(ceo2.image(data)), {}, ())
    assert found["n_rings"].value == 6
    for i, ring in enumerate(ceo2.RINGS, 1):
        assert found[f"ring{i}_position"].value == pytest.approx(ring, abs=0.004)
        assert found[f"ring{i}_completeness"].value == 1.0
    assert abs(found["ring_strain"].value) < 1e-3


def test_a_file_of_d_spacings_serves_as_well_as_a_name(data) -> None:
    file = str(data / "xrd" / "dspacing_tables" / "CeO2.D")
    found = Rings(detector=ceo2.detector(data, calibrant=file))(ceo2.frame(ceo2.image(data)), {}, ())
    assert abs(found["ring_offset"].value) < 0.006
    silicon = Rings(detector=ceo2.detector(data, calibrant="Si"))(ceo2.frame(ceo2.image(data)), {}, ())
    assert verdict(silicon, "ring_misfit", 0.03) == "anomaly"


def test_a_perfect_powder_has_round_whole_smooth_even_rings(tmp_path: Path) -> None:
    found = Rings(detector=detector(tmp_path))(ceo2.frame(rings()), {}, ())
    assert found["n_rings"].value == len(TWO_THETA)
    for i, ring in enumerate(TWO_THETA, 1):
        assert found[f"ring{i}_position"].value == pytest.approx(ring, abs=0.003)
        assert found[f"ring{i}_completeness"].value == 1.0
        assert found[f"ring{i}_spottiness"].value < 0.03
        assert found[f"ring{i}_texture"].value == pytest.approx(1.0, abs=0.005)
    assert found["ring_wander"].value < 0.002
    assert found["ring_strain"].value < 5e-5
    assert found["ring5_position"].value is None
    assert "fewer than 5" in found["ring5_position"].why


@pytest.mark.parametrize("centre", [(0.05, -0.02), (-0.4, 0.9), (1.5, 1.0)])
def test_a_beam_beside_the_centre_is_told_in_millimetres(tmp_path: Path, centre) -> None:
    found = Rings(detector=detector(tmp_path))(ceo2.frame(rings(centre_mm=centre)), {}, ())
    assert found["ring_centre_x"].value == pytest.approx(centre[0], abs=0.004 + 0.02 * abs(centre[0]))
    assert found["ring_centre_y"].value == pytest.approx(centre[1], abs=0.004 + 0.02 * abs(centre[1]))
    assert found["ring_wander"].value == pytest.approx(np.degrees(1e-3 * np.hypot(*centre) / DISTANCE), rel=0.05)


@pytest.mark.parametrize(("strain", "along"), [(1e-3, 0.0), (2e-3, 60.0), (5e-4, 120.0)])
def test_strain_and_its_direction_come_out(tmp_path: Path, strain, along) -> None:
    found = Rings(detector=detector(tmp_path))(ceo2.frame(rings(strain=strain, along_deg=along)), {}, ())
    e = found["ring_strain"]
    assert e.value == pytest.approx(strain, abs=max(4 * e.sigma, 5e-5))
    assert e.sigma < 1e-4
    assert (found["ring_strain_azimuth"].value - along + 90.0) % 180.0 - 90.0 == pytest.approx(0.0, abs=4.0)
    assert found["ring_wander"].value < 0.003


def test_texture_and_spots_are_told_apart(tmp_path: Path) -> None:
    extract = Rings(detector=detector(tmp_path))
    textured = extract(ceo2.frame(rings(amplitude=lambda psi: 1.0 + 0.8 * np.cos(2 * psi))), {}, ())
    assert textured["ring1_texture"].value == pytest.approx(1.0 + 0.5 * 0.8**2, abs=0.03)
    assert textured["ring1_spottiness"].value < 0.15
    draw = np.random.default_rng(4).uniform(0.2, 1.8, 720)

    def spots(psi: np.ndarray) -> np.ndarray:
        return draw[(np.mod(psi, 2 * np.pi) * 720 / (2 * np.pi)).astype(int) % 720] ** 3

    spotty = extract(ceo2.frame(rings(amplitude=spots)), {}, ())
    assert spotty["ring1_spottiness"].value > 0.12
    half = extract(ceo2.frame(rings(amplitude=lambda psi: (np.sin(psi) > 0).astype(float))), {}, ())
    assert half["ring2_completeness"].value == pytest.approx(0.5, abs=0.06)


def test_gaps_and_a_masked_half_do_not_count_as_missing_rings(tmp_path: Path) -> None:
    image = rings().astype(np.int32)
    image[:, 300:312] = -1
    image[:200] = -2
    found = Rings(detector=detector(tmp_path))(ceo2.frame(image), {}, ())
    assert found["ring1_completeness"].value == 1.0
    assert found["ring1_position"].value == pytest.approx(TWO_THETA[0], abs=0.004)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros(SHAPE, np.uint16),
        np.full(SHAPE, 7, np.uint16),
        np.random.default_rng(1).poisson(50.0, SHAPE).astype(np.uint16),
    ],
)
def test_without_rings_the_numbers_say_why(tmp_path: Path, image) -> None:
    extract = Rings(detector=detector(tmp_path))
    found = extract(ceo2.frame(image), {}, ())
    assert list(found) == list(extract.outputs)
    assert found["n_rings"].value == 0
    assert found["ring_wander"].why == "no ring stands out"


@pytest.mark.parametrize(
    "frame",
    [
        ceo2.frame(np.full(SHAPE, np.nan)),
        ceo2.frame(np.full(SHAPE, 65535, np.uint16)),
        ceo2.frame(np.ones(40), dims=("two_theta",)),
        ceo2.frame(np.ones(SHAPE), unit="arb"),
        ceo2.frame(np.ones(SHAPE, np.uint16), mask=np.ones(SHAPE, bool)),
    ],
)
def test_frames_that_cannot_be_used_give_reasons_not_errors(tmp_path: Path, frame) -> None:
    extract = Rings(detector=detector(tmp_path))
    found = extract(frame, {}, ())
    assert list(found) == list(extract.outputs)
    assert all(f.value is None and f.why for f in found.values())


def test_the_same_frame_gives_the_same_numbers_and_declared_units(tmp_path: Path) -> None:
    extract = Rings(detector=detector(tmp_path), name="cake", rings=3)
    frame = ceo2.frame(rings(seed=3))
    one, two = extract(frame, {}, ()), Rings(detector=detector(tmp_path), name="cake", rings=3)(frame, {}, ())
    assert one == two
    assert {key: f.unit for key, f in one.items()} == {key: o.unit for key, o in extract.outputs.items()}
    assert extract.raw


def test_an_unknown_calibrant_and_impossible_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no calibrant 'CeO3'"):
        Rings(detector=detector(tmp_path, calibrant="CeO3"))
    file = tmp_path / "mine.D"
    file.write_text("# d\n3.12 111\nabc\n")
    with pytest.raises(ConfigError, match=r"mine\.D:3: 'abc' is no number"):
        Rings(detector=detector(tmp_path, calibrant=str(file)))
    for keys in ({"sectors": 3}, {"bins": 1}, {"rings": 0}, {"name": "My Rings"}):
        with pytest.raises(ConfigError):
            Rings(detector=detector(tmp_path), **keys)
    with pytest.raises(ConfigError, match=r"detector\.geometry\.poni"):
        Rings()


@pytest.mark.parametrize(("distance", "label"), [(DISTANCE, "normal"), (1.01 * DISTANCE, "anomaly")])
def test_known_rings_are_checked_where_the_detector_sees_only_a_part_of_them(tmp_path, distance, label) -> None:
    (tmp_path / "known.D").write_text("".join(f"{0.2 / np.sin(np.radians(0.5 * t)):.8f}\n" for t in TWO_THETA))
    path = tmp_path / "corner.poni"
    row, column = SHAPE[0] // 2, SHAPE[1] // 2
    path.write_text(
        f"PixelSize1: {PIXEL}\nPixelSize2: {PIXEL}\nDistance: {distance}\nPoni1: 0\nPoni2: 0\nWavelength: 4e-11\n"
    )
    geometry = Geometry(poni=path, solid_angle=False, polarization=None, calibrant=str(tmp_path / "known.D"))
    corner = np.ascontiguousarray(rings()[row:, column:])
    # a corner of 50 deg: five sectors of ten degrees
    y, x = np.mgrid[: corner.shape[0], : corner.shape[1]] + 0.5
    corner[np.degrees(np.arctan2(y, x)) > 50.0] = np.iinfo(np.uint16).max
    found = Rings(detector=Detector(name="a", source="det", geometry=geometry))(ceo2.frame(corner), {}, ())
    assert "sectors" in found["ring_wander"].why
    assert verdict(found, "ring_misfit", 0.03) == label
    assert found["ring_offset"].value == pytest.approx(0.0 if label == "normal" else -0.08, abs=0.02)
