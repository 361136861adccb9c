import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyFAI
import pytest

from insitu.errors import ConfigError
from insitu.maths.peaks.fit_peak import fit_peak
from insitu.prepare.azimuthal import Azimuthal
from insitu.types import Detector, Feature, Frame, Geometry, Reference
from tests import ceo2

PONI = """Detector: {detector}
{extra}Distance: 0.15
Poni1: {poni1}
Poni2: {poni2}
Rot1: 0.02
Rot2: -0.01
Rot3: 0.3
Wavelength: 5e-11
"""


@pytest.fixture(scope="module")
def pixels(data: Path) -> np.ndarray:
    return ceo2.image(data)


@pytest.fixture
def poni(tmp_path: Path) -> Callable[..., Path]:
    """Writes a .poni of a detector that is off its axis and tilted."""

    def write(detector="Detector", extra="PixelSize1: 1e-4\nPixelSize2: 1.2e-4\n", poni1=0.004, poni2=0.006) -> Path:
        path = tmp_path / f"{detector}.poni"
        path.write_text(PONI.format(detector=detector, extra=extra, poni1=poni1, poni2=poni2))
        return path

    return write


def by_pyfai(path: Path, image: np.ndarray, mask: np.ndarray, split: str, bins: int, **more):
    keys = {"unit": "2th_deg", "polarization_factor": 0.99, "error_model": "poisson"} | more
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pyFAI.load(str(path)).integrate1d(
            np.ascontiguousarray(image), bins, mask=mask, method=(split, "csr", "cython"), **keys
        )


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def agrees(ours: Frame, theirs, dim: str = "two_theta", first: int = 0) -> None:
    """From bin `first` on: pyFAI adds what lies up to one bin below a range to its first bin."""
    np.testing.assert_allclose(ours.axes[dim].values, theirs.radial, rtol=1e-6)
    some = np.ones(ours.data.size, bool) if ours.mask is None else ~ours.mask
    some[:first] = False
    theirs.count[:first] = 0
    assert (some == (theirs.count > 0)).all()
    np.testing.assert_allclose(ours.data[some], theirs.intensity[some], rtol=1e-4)
    assert ours.sigma is not None
    np.testing.assert_allclose(ours.sigma[some], theirs.sigma[some], rtol=1e-4)


@pytest.mark.parametrize("split", ["no", "bbox"])
@pytest.mark.parametrize("bins", [700, 3000])
def test_the_ceo2_image_is_integrated_as_by_pyfai(data: Path, pixels, tmp_path: Path, split, bins) -> None:
    mask = pixels < 0
    detector = ceo2.detector(data, mask=saved(tmp_path / "mask.npy", mask[::-1]))
    ours = Azimuthal(split=split, bins=bins, detector=detector)(ceo2.frame(pixels), {})
    theirs = by_pyfai(detector.geometry.poni, pixels[::-1], mask[::-1], split, bins)
    agrees(ours, theirs)
    if split == "no":
        sums = Azimuthal(split=split, bins=bins, detector=detector)._image.pattern(ceo2.frame(pixels), {}).signal
        assert (sums == theirs.sum_signal).all()  # exact
    assert ours.dims == ("two_theta",)
    assert ours.context["wavelength"] == Feature(0.4066, "angstrom")


@pytest.mark.parametrize("split", ["no", "bbox"])
def test_the_rings_lie_where_the_readme_says(data: Path, pixels, split) -> None:
    ours = Azimuthal(split=split, bins=1500, detector=ceo2.detector(data))(ceo2.frame(pixels), {})
    x = ours.axes["two_theta"].values
    assert ours.sigma is not None
    for ring in ceo2.RINGS:
        near = np.abs(x - ring) < 0.3
        found = fit_peak(x[near], ours.data[near], ours.sigma[near])
        assert not found.why
        assert found.position[0] == pytest.approx(ring, abs=0.004)


def test_the_pattern_of_the_authors_is_reproduced(data: Path, pixels) -> None:
    theirs = np.loadtxt(data / ceo2.FOLDER / "CeO2_Pilatus1M.xy")
    frame = ceo2.frame(pixels)
    as_they = Azimuthal(bins=len(theirs), detector=ceo2.detector(data, low=None))(frame, {})  # they left the gaps in
    np.testing.assert_allclose(as_they.axes["two_theta"].values, theirs[:, 0], atol=1e-6)
    np.testing.assert_allclose(as_they.data[5:], theirs[5:, 1], rtol=2e-4)  # theirs was another version of pyFAI
    ours = Azimuthal(bins=len(theirs), detector=ceo2.detector(data))(frame, {})
    far = (theirs[:, 0] > 1.0) & (True if ours.mask is None else ~ours.mask)
    assert np.corrcoef(ours.data[far], theirs[far, 1])[0, 1] > 0.999
    for ring in ceo2.RINGS:
        near = np.abs(theirs[:, 0] - ring) < 0.3
        here, there = fit_peak(theirs[near, 0], ours.data[near]), fit_peak(theirs[near, 0], theirs[near, 1])
        assert here.position[0] == pytest.approx(there.position[0], abs=0.003)


@pytest.mark.parametrize("split", ["no", "bbox"])
@pytest.mark.parametrize("dtype", ["uint16", "int32", "uint32", "float32", "float64"])
@pytest.mark.parametrize("flip", ["none", "up_down", "left_right", "both"])
def test_any_type_and_flip_with_mask_dark_and_flat_agrees_with_pyfai(poni, tmp_path, split, dtype, flip) -> None:
    rng = np.random.default_rng(5)
    shape = (97, 131)  # not square: turned the wrong way it would not even fit
    turn = {"none": np.s_[:, :], "up_down": np.s_[::-1, :], "left_right": np.s_[:, ::-1], "both": np.s_[::-1, ::-1]}[
        flip
    ]
    image = rng.poisson(np.linspace(5, 400, shape[1])[None, :] * np.ones(shape)).astype(dtype)
    mask, dark, flat = rng.random(shape) < 0.05, rng.uniform(0, 4, shape), rng.uniform(0.8, 1.2, shape)
    names = {name: saved(tmp_path / f"{name}.npy", a) for name, a in (("mask", mask), ("dark", dark), ("flat", flat))}
    geometry = Geometry(poni=poni(), flip=flip, **names)
    detector = Detector(name="a", source="det", geometry=geometry)
    ours = Azimuthal(bins=150, split=split, detector=detector)(ceo2.frame(image[turn]), {})
    theirs = by_pyfai(poni(), image, mask, split, 150, dark=dark, flat=flat)
    agrees(ours, theirs)


@pytest.mark.parametrize("split", ["no", "bbox"])
def test_pixels_that_fail_in_one_frame_leave_its_normalisation_alone(poni, split) -> None:
    rng = np.random.default_rng(6)
    image = rng.poisson(300.0, (80, 90)).astype(np.int32)
    step = Azimuthal(bins=60, split=split, detector=Detector(
        name="a", source="det", saturation=5000.0, geometry=Geometry(poni=poni())))  # fmt: skip
    before = step(ceo2.frame(image), {})
    bad = rng.random(image.shape) < 0.3
    corner = np.zeros(image.shape, bool)
    corner[:2, :2] = corner[-2:, -2:] = corner[:2, -2:] = corner[-2:, :2] = True
    bad &= ~corner  # the range of the axis is that of the geometry, pyFAI's that of the pixels left
    image[bad] = rng.choice([-1, -2, 5000, 2**31 - 1], np.count_nonzero(bad))
    after = step(ceo2.frame(image), {})
    assert (after.axes["two_theta"].values == before.axes["two_theta"].values).all()
    theirs = by_pyfai(poni(), image, bad, split, 60, radial_range=None)
    if theirs.radial[0] == pytest.approx(after.axes["two_theta"].values[0], abs=1e-9):
        agrees(after, theirs)
    some = ~after.mask if after.mask is not None else np.ones(60, bool)
    np.testing.assert_allclose(after.data[some], before.data[some], rtol=0.5)  # a wrong norm would give 0.7 of it
    assert np.median(after.data[some] / before.data[some]) == pytest.approx(1.0, abs=0.01)
    masked = step(ceo2.frame(np.where(bad, 300, image), mask=bad), {})
    np.testing.assert_allclose(masked.data, after.data, rtol=1e-12)


def test_dark_and_flat_frames_replace_the_files(poni, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    image = rng.poisson(200.0, (50, 60)).astype(np.uint16)
    dark, flat = rng.poisson(9.0, image.shape).astype(np.uint16), rng.poisson(4000.0, image.shape).astype(np.uint16)
    wrong = saved(tmp_path / "wrong.npy", np.full(image.shape, 77.0))
    detector = Detector(name="a", source="det", geometry=Geometry(poni=poni(), dark=wrong, flat=wrong))
    refs = {"dark": Reference(dark, "d1", "a"), "flat": Reference(flat, "f1", "b")}
    ours = Azimuthal(bins=40, split="no", detector=detector)(ceo2.frame(image), refs)
    none = np.zeros(image.shape, bool)
    theirs = by_pyfai(poni(), image, none, "no", 40, dark=dark, flat=flat / flat.mean())
    agrees(ours, theirs)
    other = {"dark": Reference(dark[:, :-1], "d2", "a")}
    with pytest.raises(ValueError, match="50 x 60 pixels, the dark frame 50 x 59"):
        Azimuthal(bins=40, detector=detector)(ceo2.frame(image), other)


def test_q_and_a_sector_of_azimuth_agree_with_pyfai(poni) -> None:
    image = np.random.default_rng(8).poisson(100.0, (90, 80)).astype(np.int32)
    none = np.zeros(image.shape, bool)
    detector = Detector(name="a", source="det", geometry=Geometry(poni=poni(poni1=0.004, poni2=0.004)))
    in_q = Azimuthal(bins=50, unit="q", q=(0.05, 0.5), split="no", detector=detector)(ceo2.frame(image), {})
    wanted = by_pyfai(detector.geometry.poni, image, none, "no", 50, unit="q_A^-1", radial_range=(0.05, 0.5))
    agrees(in_q, wanted, "q", first=1)
    part = Azimuthal(bins=50, two_theta=(0.5, 2.5), azimuth=(20.0, 110.0), split="no", detector=detector)
    wanted = by_pyfai(
        detector.geometry.poni, image, none, "no", 50, radial_range=(0.5, 2.5), azimuth_range=(20.0, 110.0)
    )
    agrees(part(ceo2.frame(image), {}), wanted, first=1)
    window, frame = (0.5, 2.5), ceo2.frame(image)
    parts = [
        Azimuthal(bins=50, two_theta=window, azimuth=azimuth, split="no", detector=detector)._image.pattern(frame, {})
        for azimuth in (None, (20.0, 110.0), (110.0, 380.0))  # the last one passes 180 deg
    ]
    assert (parts[0].signal == parts[1].signal + parts[2].signal).all()


@pytest.mark.parametrize(("name", "shape"), [("Eiger4M", (2167, 2070)), ("Perkin", (2048, 2048))])
def test_detectors_that_pyfai_knows_bring_their_own_mask(poni, name, shape) -> None:
    extra = "" if name == "Eiger4M" else "PixelSize1: 2e-4\nPixelSize2: 2e-4\n"
    image = np.random.default_rng(9).poisson(3.0, shape).astype(np.uint32)
    detector = Detector(name="a", source="det", geometry=Geometry(poni=poni(name, extra=extra, poni1=0.08, poni2=0.07)))
    known = pyFAI.load(str(detector.geometry.poni)).detector
    mask = np.zeros(shape, bool) if known.mask is None else known.mask.astype(bool)
    image[mask] = 2**32 - 1
    ours = Azimuthal(bins=500, split="no", detector=detector)(ceo2.frame(image), {})
    agrees(ours, by_pyfai(detector.geometry.poni, image, mask, "no", 500))


def test_frames_of_another_detector_are_refused_with_both_shapes(poni) -> None:
    step = Azimuthal(detector=Detector(name="a", source="det", geometry=Geometry(poni=poni("Eiger4M", extra=""))))
    with pytest.raises(ValueError, match=r"1043 x 981 pixels, the detector .*Eiger.* of Eiger4M.poni 2167 x 2070"):
        step(ceo2.frame(np.zeros((1043, 981), np.int32)), {})
    with pytest.raises(ValueError, match=r"only images \(y, x\)"):
        step(ceo2.frame(np.zeros(50), dims=("two_theta",)), {})


def test_a_mask_of_another_shape_is_refused_with_both_shapes(poni, tmp_path: Path) -> None:
    mask = saved(tmp_path / "gaps.npy", np.zeros((30, 41), bool))
    detector = Detector(name="a", source="det", geometry=Geometry(poni=poni(), mask=mask))
    with pytest.raises(ValueError, match=r"30 x 40 pixels, the mask gaps.npy 30 x 41"):
        Azimuthal(detector=detector)(ceo2.frame(np.ones((30, 40), np.int32)), {})
    with pytest.raises(ConfigError, match=r"mask gaps.npy 30 x 41"):  # told before the first frame where it can be
        Azimuthal(detector=replace(detector, shape=(30, 40)))
    dark = saved(tmp_path / "dark.npy", np.zeros((30, 40)))
    with pytest.raises(ConfigError, match="differ in shape"):
        Azimuthal(detector=Detector(name="a", source="det", geometry=Geometry(poni=poni(), mask=mask, dark=dark)))


@pytest.mark.parametrize("split", ["no", "bbox"])
def test_an_image_of_which_nothing_counts_says_so(poni, split) -> None:
    step = Azimuthal(split=split, bins=20, detector=Detector(name="a", source="det", geometry=Geometry(poni=poni())))
    for image in (np.full((40, 40), np.nan), np.full((40, 40), -2, np.int32), np.full((40, 40), 65535, np.uint16)):
        with pytest.raises(ValueError, match="no pixel of the image counts"):
            step(ceo2.frame(image), {})
    with pytest.raises(ValueError, match="no pixel of the image counts"):
        step(ceo2.frame(np.ones((40, 40), np.int32), mask=np.ones((40, 40), bool)), {})


def test_data_that_are_no_counts_get_no_uncertainty_unless_they_bring_one(poni) -> None:
    step = Azimuthal(bins=20, split="no", detector=Detector(name="a", source="det", geometry=Geometry(poni=poni())))
    image = np.ones((40, 40), np.float32)
    assert step(ceo2.frame(image, unit="arb"), {}).sigma is None
    sigma = np.full(image.shape, 2.0)
    sigma[0, 0] = np.inf  # a saturated pixel, marked
    known = step(ceo2.frame(image, unit="arb", sigma=sigma), {}).sigma
    assert known is not None
    assert np.isfinite(known).all()


def test_impossible_settings_are_refused(poni, tmp_path: Path) -> None:
    detector = Detector(name="a", source="det", geometry=Geometry(poni=poni()))
    for keys, where in (
        ({"bins": 2}, "bins"),
        ({"two_theta": (5.0, 1.0)}, "two_theta"),
        ({"q": (1.0, 5.0)}, "q"),
        ({"azimuth": (10.0, 10.0)}, "azimuth"),
    ):
        with pytest.raises(ConfigError) as wrong:
            Azimuthal(detector=detector, **keys)
        assert wrong.value.where == where
    with pytest.raises(ConfigError, match="cannot be read"):
        Azimuthal(detector=Detector(name="a", source="det", geometry=Geometry(poni=tmp_path / "none.poni")))
    text = tmp_path / "mask.tif"
    text.write_text("no image")
    with pytest.raises(ConfigError, match="the mask cannot be read"):
        Azimuthal(detector=Detector(name="a", source="det", geometry=Geometry(poni=poni(), mask=text)))
    no_wave = tmp_path / "nowave.poni"
    no_wave.write_text(poni().read_text().replace("Wavelength: 5e-11\n", ""))
    with pytest.raises(ConfigError, match="q needs a wavelength"):
        Azimuthal(unit="q", detector=Detector(name="a", source="det", geometry=Geometry(poni=no_wave)))


def test_the_detectors_wavelength_wins_over_the_ponis(poni) -> None:
    known = {"wavelength": Feature(0.7, "angstrom")}
    detector = Detector(name="a", source="det", geometry=Geometry(poni=poni()), calibration=known)
    ours = Azimuthal(bins=20, detector=detector)(ceo2.frame(np.ones((40, 40), np.int32)), {})
    assert ours.context["wavelength"].value == 0.7


def test_with_shape_and_type_of_the_frames_known_all_is_laid_out_before_the_first(poni) -> None:
    known = Detector(name="a", source="det", shape=(40, 50), dtype="uint16", geometry=Geometry(poni=poni()))
    step = Azimuthal(bins=20, detector=known)
    assert step(ceo2.frame(np.ones((40, 50), np.uint16)), {}).data.shape == (20,)
