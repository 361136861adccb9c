"""The simulated area detector: labelled, reproducible, Poisson, with rings where the truth says, and every fault."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.readers.simulated_image import AreaDetector
from insitu.testing import ReaderContract
from insitu.types import Arrival, Detector, Feature, Geometry

SMALL = {"shape": (256, 256), "pixel_size": 700.0, "modules": (0, 0), "hot": 0, "dead": 0}


def frames(**keys: object) -> list[Arrival]:
    return [a for a in AreaDetector(**{"frames": 2, **SMALL, **keys})() if a is not None]


class TestSimulatedImages(ReaderContract):
    @pytest.fixture
    def make(self) -> Callable[[], AreaDetector]:
        return lambda: AreaDetector(shape=(64, 64), frames=3)

    @pytest.fixture
    def idle(self) -> Callable[[], AreaDetector]:
        return lambda: AreaDetector(shape=(64, 64), frames=3, rate=0.5, exposure=2.0)


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """Mean squared difference of two images of counts in units of its variance: 1 where nothing changed."""
    return float(((a - b) ** 2).sum() / (a + b).sum())


def test_nothing_changes_without_a_fault() -> None:
    first, second = frames(beam_y=100.0, peak_counts=200.0)
    assert apart(first.data.astype(float), second.data.astype(float)) == pytest.approx(1.0, abs=0.03)


def _radius(reader: AreaDetector, data: np.ndarray, two_theta: float, side: slice) -> float:
    """Two theta in deg of the counts around a ring, background off, averaged over an azimuthal range in deg."""
    seen = reader.powder._view(0.0, 0.0)
    tth, chi = np.degrees(seen.two_theta), np.degrees(seen.chi) % 360.0
    near = (np.abs(tth - two_theta) < 0.35) & (chi >= side.start) & (chi < side.stop)
    bins = np.linspace(two_theta - 0.35, two_theta + 0.35, 29)
    at = np.digitize(tth[near], bins)
    mean = np.array([data[near][at == i].mean() for i in range(1, 29)])
    middle = 0.5 * (bins[1:] + bins[:-1])
    weight = np.clip(mean - mean.min() - 0.3 * np.ptp(mean), 0.0, None)
    return float((weight * middle).sum() / weight.sum())


def test_everything_is_labelled_as_simulated() -> None:
    assert AreaDetector.simulated
    assert all(a.labels["simulated"] == "true" for a in frames(faults=("shutter@1",)))


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert [a.data.tobytes() for a in frames(seed=4)] == [a.data.tobytes() for a in frames(seed=4)]
    assert frames(seed=4)[0].data.tobytes() != frames(seed=5)[0].data.tobytes()
    assert AreaDetector(**SMALL, seed=4).arrival(1).data.tobytes() == frames(seed=4)[1].data.tobytes()


def test_counts_are_poisson_about_what_is_expected() -> None:
    reader = AreaDetector(**SMALL)
    expected = reader.powder.image(reader._look(0, {}))
    counts = np.array([reader.arrival(i).data for i in range(40)], dtype=float)
    pull = (counts.mean(axis=0) - expected) / np.sqrt(expected / 40)
    assert pull.mean() == pytest.approx(0.0, abs=5 / 256)
    assert pull.std() == pytest.approx(1.0, abs=0.02)
    assert float((counts.var(axis=0, ddof=1) / expected).mean()) == pytest.approx(1.0, abs=0.02)


@pytest.mark.filterwarnings("ignore")
def test_pyfai_finds_the_rings_where_the_truth_says(tmp_path: Path) -> None:
    import pyFAI

    reader = AreaDetector(
        shape=(512, 512), pixel_size=340.0, tilt_x=3.0, tilt_y=-2.0, beam_x=230.0, beam_y=270.0, peak_counts=3000.0
    )
    (tmp_path / "a.poni").write_text(reader.poni())
    judge = pyFAI.load(str(tmp_path / "a.poni"))
    assert reader.truth(0).centre == pytest.approx((230.0, 270.0))
    fit2d = judge.getFit2D()
    assert (fit2d["centerX"], fit2d["centerY"]) == pytest.approx((230.0, 270.0), abs=1e-6)
    image = np.sum([reader.arrival(i).data.astype(float) for i in range(4)], axis=0)
    mask = image < 0
    mask.flat[reader._hot] = True
    result = judge.integrate1d(
        image, 2500, unit="2th_deg", mask=mask, polarization_factor=0.99, method=("no", "csr", "cython")
    )
    rings = reader.truth(0).rings[:4]
    assert rings[0].two_theta == pytest.approx(7.4615, abs=1e-3)  # CeO2 (111), shared data README
    for ring in rings:
        near = np.abs(result.radial - ring.two_theta) < 0.12
        height = result.intensity[near] - result.intensity[near].min()
        height[height < height.max() / 2] = 0.0
        assert (result.radial[near] * height).sum() / height.sum() == pytest.approx(ring.two_theta, abs=6e-3)


def test_gaps_dead_and_hot_pixels_and_saturation() -> None:
    first = AreaDetector(shape=(300, 600), hot=5, dead=7, saturation=500.0, frames=1).arrival(0).data
    assert first.dtype == np.int32
    assert (first == -1).sum() > 600 * 17 - 7
    assert 0 < (first == -2).sum() <= 7
    assert first.max() == 500
    assert (first == 500).sum() >= 1
    unsigned = Detector(name="d", source="d", dtype="uint16", shape=(300, 600))
    data = AreaDetector(dead=7, frames=1, detector=unsigned).arrival(0).data
    assert data.dtype == np.uint16
    assert (data == 65535).sum() > 600 * 17


def test_a_strained_sample_has_elliptic_rings() -> None:
    keys = {**SMALL, "shape": (512, 512), "pixel_size": 350.0, "peak_counts": 400.0}
    for strain in (0.0, 0.01):
        reader = AreaDetector(**keys, strain=strain)
        image = np.sum([reader.arrival(i).data for i in range(5)], axis=0)
        ring = reader.truth(0).rings[2]
        along, across = (_radius(reader, image, ring.two_theta, side) for side in (slice(160, 200), slice(70, 110)))
        tangent = 2 * np.degrees(np.tan(np.radians(ring.two_theta) / 2))
        assert along - ring.two_theta == pytest.approx(-strain * tangent * 0.95, abs=0.02)
        assert across - ring.two_theta == pytest.approx(0.28 * strain * tangent * 0.95, abs=0.02)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("beam_loss@1", lambda a, b: b.sum() == 0),
        ("shutter@1", lambda a, b: b.sum() == 0),
        ("saturation@1=50", lambda a, b: b.sum() > 20 * a.sum()),
        ("dead@1", lambda a, b: not b.any()),
        ("lost_phase@1", lambda a, b: b.max() < 0.5 * a.max()),
        ("texture@1=1", lambda a, b: apart(a, b) > 1.1),
        ("spotty@1", lambda a, b: b.max() > 1.5 * a.max()),
        ("strain@1=0.02", lambda a, b: apart(a, b) > 1.1),
        ("slipped@1=5", lambda a, b: apart(a, b) > 1.1),
        ("centre_drift@1=4", lambda a, b: np.abs(a[:, :-4] - b[:, 4:]).sum() < np.abs(a - b).sum() / 1.3),
        ("flipped@1", lambda a, b: np.abs(a[::-1] - b).sum() < np.abs(a - b).sum() / 1.3),
    ],
)
def test_faults_do_what_they_say(fault: str, check: Callable[[np.ndarray, np.ndarray], bool]) -> None:
    first, second = frames(faults=(fault,), beam_y=100.0, peak_counts=200.0)
    assert check(first.data.astype(float), second.data.astype(float))


def test_transport_faults_change_what_arrives() -> None:
    numbers = [a.source_seq for a in frames(frames=5, faults=("missing@1", "duplicate@3"))]
    assert numbers == [0, 2, 3, 3, 4]


def test_a_poni_file_of_the_detector_is_the_geometry(data: Path) -> None:
    poni = data / "xrd/frame2d_ceo2_pilatus1m/CeO2_Pilatus1M.poni"
    reader = AreaDetector(detector=Detector(name="d", source="d", shape=(1043, 981), geometry=Geometry(poni=poni)))
    assert reader.geometry.distance == pytest.approx(0.208651380603)
    assert reader.geometry.rot1 == pytest.approx(-0.0184422457059)
    assert reader.wavelength == pytest.approx(0.4066)
    assert reader.arrival(0).context["wavelength"] == Feature(reader.wavelength, "angstrom")


def test_a_heated_sample_moves_its_rings() -> None:
    reader = AreaDetector(**SMALL, sample="batio3", temperature_start=350.0, temperature_step=100.0)
    assert [*reader.truth(0).fractions] == ["tetragonal"]
    assert [*reader.truth(1).fractions] == ["cubic"]
    assert reader.arrival(1).context["temperature"] == Feature(450.0, "K")


@pytest.mark.parametrize(
    "keys",
    [
        {"sample": "gold"},
        {"shape": (4, 4)},
        {"texture": 2.0},
        {"distance": -1.0},
        {"faults": ("zero_shift@1",)},
        {"faults": ("flipped@1=2",)},
        {"faults": ("strain@1=9",)},
        {"seed": -1},
    ],
)
def test_impossible_settings_are_refused(keys: dict) -> None:
    with pytest.raises(ConfigError):
        AreaDetector(**keys)
