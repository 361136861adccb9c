import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.xrd import Peaks
from insitu.maths.peaks.profiles import pseudo_voigt
from insitu.prepare.normalise import Normalise
from insitu.types import Axis, Feature, Frame

X = np.linspace(28.2, 28.7, 101)


def frame(data: np.ndarray, context: dict[str, Feature], unit: str = "counts") -> Frame:
    return Frame(
        source="det",
        data=data,
        dims=("two_theta",),
        unit=unit,
        time_ns=0,
        seq=0,
        n=0,
        axes={"two_theta": Axis(X, "deg")},
        context=context,
    )


def test_counts_are_scaled_to_the_reference_monitor_with_their_uncertainty() -> None:
    data = np.full(101, 400, dtype=np.uint16)
    result = Normalise(reference=1e5)(frame(data, {"monitor": Feature(2e5, "counts")}), {})
    assert (result.data == 200.0).all()
    assert (result.sigma == 10.0).all()  # sqrt(400) / 2, not sqrt(200)
    assert result.unit == "counts"


def test_exposure_can_be_divided_out() -> None:
    result = Normalise(by="exposure_s")(frame(np.full(101, 400), {"exposure_s": Feature(4.0, "s")}), {})
    assert (result.data == 100.0).all()


def test_a_steady_sample_stays_steady_while_the_beam_decays() -> None:
    rng = np.random.default_rng(2)
    peaks, step = Peaks(windows=[(28.2, 28.7)]), Normalise(reference=1e6)
    pulls = []
    for beam in np.linspace(1.0, 0.3, 100):
        counts = rng.poisson(beam * (pseudo_voigt(X, 28.45, 0.08, 0.4, 200.0) + 100.0))
        area = peaks(step(frame(counts, {"monitor": Feature(1e6 * beam, "counts")}), {}), {}, ())["peak1_area"]
        pulls.append((area.value - 200.0) / area.sigma)
    assert abs(np.mean(pulls)) < 0.35
    assert np.std(pulls) == pytest.approx(1.0, abs=0.25)


def test_data_without_known_uncertainty_keep_none() -> None:
    result = Normalise()(frame(np.ones(101), {"monitor": Feature(2.0, "counts")}, unit="arb"), {})
    assert result.sigma is None
    assert (result.data == 0.5).all()


@pytest.mark.parametrize(
    ("context", "says"),
    [
        ({}, "no monitor in context"),
        ({"temperature": Feature(300.0, "K")}, "there is temperature"),
        ({"monitor": Feature(0, "counts")}, "monitor is 0 counts"),
        ({"monitor": Feature(-3.0, "counts")}, "monitor is -3 counts"),
        ({"monitor": Feature(None, "counts", why="scaler off")}, "scaler off"),
    ],
)
def test_a_frame_that_cannot_be_normalised_says_why(context: dict[str, Feature], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Normalise()(frame(np.ones(101), context), {})


def test_an_impossible_reference_is_refused() -> None:
    with pytest.raises(ConfigError, match="reference"):
        Normalise(reference=0.0)
