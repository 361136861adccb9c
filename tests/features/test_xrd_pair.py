import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from insitu.errors import ConfigError
from insitu.features.xrd_pair import Pair
from insitu.types import Axis, Frame

X = np.linspace(11.0, 11.3, 151)


def frame(data: np.ndarray, x: np.ndarray = X, **keys) -> Frame:
    axes = {"two_theta": Axis(x, "deg")}
    return Frame(source="det", data=data, dims=("two_theta",), unit="counts", time_ns=0, seq=0, n=0, axes=axes, **keys)


def fxye(path: Path) -> tuple[float, Frame]:
    """Temperature and pattern: rows after the BANK line, two_theta in centidegrees."""
    lines = path.read_text(errors="replace").splitlines()
    bank = next(i for i, line in enumerate(lines) if line.startswith("BANK"))
    table = np.array([line.split() for line in lines[bank + 1 :] if line.strip()], dtype=np.float64)
    kelvin = re.search(r"Temp \(K\) =\s*([\d.]+)", "\n".join(lines[:bank]))
    assert kelvin
    x, y, esd = (np.ascontiguousarray(column) for column in table.T)
    return float(kelvin[1]), frame(y, x / 100.0, sigma=esd)


@pytest.fixture(scope="module")
def series(data: Path) -> list[tuple[float, Frame]]:
    folder = data / "xrd" / "series_cucr2o4_7-289K"
    found = sorted((fxye(path) for path in folder.glob("*.fxye")), key=lambda pair: pair[0])
    assert len(found) == 17
    return found


WINDOWS = [(11.06, 11.16), (11.05, 11.17), (11.03, 11.15), (11.07, 11.15), (11.08, 11.16)]


@pytest.mark.parametrize("window", WINDOWS)
def test_the_pair_of_cucr2o4_splits_as_measured_before(series, window: tuple[float, float]) -> None:
    """Splits from two-peak fits: data README. The transition lies between about 111 and 134 K."""
    pair = Pair(window=window)
    found = {t: pair(f, {}, ()) for t, f in series}
    for kelvin, known in ((6.778, 0.0091), (46.97, 0.0086), (75.42, 0.0076), (98.89, 0.0064)):
        features = found[kelvin]
        assert features["pair_split"].value == pytest.approx(known, abs=4e-4)
        assert features["pair_split"].sigma < 4e-4
        apart = features["pair_position2"].value - features["pair_position1"].value
        assert apart == pytest.approx(features["pair_split"].value, abs=1e-12)
    for kelvin, features in found.items():
        evidence, split = features["pair_evidence"].value, features["pair_split"]
        if kelvin < 100.0:
            assert evidence > 3.0
        if kelvin > 120.0:
            assert evidence < 0.0
            assert "one peak describes the points as well" in split.why


def test_the_width_of_the_merging_pair_is_given_for_every_pattern(series) -> None:
    width = np.array([Pair(window=(11.06, 11.16))(f, {}, ())["pair_width"].value for _, f in series])
    assert width[0] == pytest.approx(0.018, abs=0.001)  # FWHM read off the data at 7 K: 0.0180 deg
    assert (np.diff(width[:8]) < 0.0).all()
    assert (width[7:] < 0.009).all()


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"window": (11.29, 11.4)}, "the pattern covers 11 to 11.3 deg"),
        ({"window": (11.1, 11.12)}, "(a pair needs 14) in 11.1 to 11.12 deg"),
        ({"window": (11.02, 11.2)}, "no peak above 5 sigma in 11.02 to 11.2 deg"),
        ({"window": (11.02, 11.2), "saturation": 5.0}, "saturated: "),
        ({"window": (11.02, 11.2), "unit": "arb"}, "the data are in 'counts'"),
        ({"window": (11.02, 11.2), "doublet": True}, "second wavelength"),
    ],
)
def test_what_cannot_be_judged_says_why(keys: dict, says: str) -> None:
    pair = Pair(**keys)
    found = pair(frame(np.random.default_rng(1).poisson(20.0, X.size)), {}, ())
    assert {k: f.unit for k, f in found.items()} == {k: o.unit for k, o in pair.outputs.items()}
    assert all(f.value is None and says in f.why for f in found.values())


def test_more_evidence_may_be_asked_for(series) -> None:
    _, pattern = series[4]
    found = Pair(window=(11.06, 11.16), min_evidence=50.0)(pattern, {}, ())
    assert "below 50" in found["pair_split"].why
    assert found["pair_evidence"].value > 0.0


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"window": (11.2, 11.1)}, "window"),
        ({"window": (11.0, 11.1), "min_share": 0.6}, "min_share"),
        ({"window": (11.0, 11.1), "min_evidence": -1.0}, "min_evidence"),
        ({"window": (11.0, 11.1), "name": "Pair"}, "name"),
    ],
)
def test_impossible_settings_are_refused(keys: dict, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Pair(**keys)
    assert caught.value.where == where


PAIR = Pair(window=(11.02, 11.2))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=arrays(np.float64, X.size, elements=st.floats(allow_nan=True, allow_infinity=True, width=32)),
    sigma=st.none() | arrays(np.float64, X.size, elements=st.floats(0.0, 1e6)),
    mask=st.none() | arrays(np.bool_, X.size),
)
def test_whatever_the_numbers_are_every_feature_has_a_value_or_says_why(data, sigma, mask) -> None:
    assert PAIR(frame(data, sigma=sigma, mask=mask), {}, ()).keys() == PAIR.outputs.keys()
