import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.totals import Totals
from insitu.prepare.baseline import Baseline
from insitu.types import Axis, Frame

X = np.linspace(10.0, 60.0, 2000)


def frame(data: np.ndarray, unit: str = "counts", **keys) -> Frame:
    axes = {"two_theta": Axis(X[: data.size], "deg")}
    return Frame(source="det", data=data, dims=("two_theta",), unit=unit, time_ns=0, seq=0, n=0, axes=axes, **keys)


@pytest.fixture
def counts() -> np.ndarray:
    clean = 100.0 + 5000.0 * np.exp(-(((X - 30.0) / 0.3) ** 2))
    data = np.random.default_rng(0).poisson(clean).astype(np.uint16)
    data.flags.writeable = False
    return data


def test_the_numbers_of_a_pattern_are_right(counts: np.ndarray) -> None:
    found = Totals()(frame(counts), {}, ())
    assert found["total"].value == counts.sum()
    assert found["total"].sigma == pytest.approx(np.sqrt(counts.sum()))
    assert found["maximum"].value == counts.max()
    assert found["background"].value == pytest.approx(100.0, abs=1.5)
    assert found["noise"].value == pytest.approx(10.0, rel=0.1)
    assert found["snr"].value == pytest.approx(500.0, rel=0.12)
    assert found["saturated_fraction"].value == 0.0


def test_exactly_the_declared_keys_and_units_come_out(counts: np.ndarray) -> None:
    totals = Totals(name="whole")
    found = totals(frame(counts), {}, ())
    assert list(found) == list(totals.outputs)
    assert all(key.startswith("whole_") for key in found)
    assert {key: f.unit for key, f in found.items()} == {key: o.unit for key, o in totals.outputs.items()}


def test_saturated_points_are_counted_and_the_sum_is_then_a_bound(counts: np.ndarray) -> None:
    clipped = np.minimum(counts, 3000)
    found = Totals(saturation=3000.0)(frame(clipped), {}, ())
    assert found["saturated_fraction"].value == pytest.approx(np.mean(counts >= 3000))
    assert found["total"].sigma is None
    assert found["maximum"].sigma is None


def test_behind_a_baseline_the_marks_are_counted_not_the_subtracted_data(counts: np.ndarray) -> None:
    prepared = Baseline(window=2.0, saturation=3000.0)(frame(np.minimum(counts, 3000)), {})
    assert Totals()(prepared, {}, ())["saturated_fraction"].value == pytest.approx(np.mean(counts >= 3000))
    clean = Baseline(window=2.0)(frame(counts), {})
    assert Totals()(clean, {}, ())["saturated_fraction"].value == 0.0


def test_without_a_level_floating_point_data_say_so(counts: np.ndarray) -> None:
    found = Totals()(frame(counts.astype(np.float64)), {}, ())["saturated_fraction"]
    assert found.value is None
    assert "no saturation level" in found.why


def test_masked_points_do_not_count(counts: np.ndarray) -> None:
    data, mask = counts.astype(np.float64), np.zeros(X.size, dtype=bool)
    data[:100], mask[:100] = np.nan, True
    found = Totals(saturation=3000.0)(frame(data, mask=mask), {}, ())
    assert found["total"].value == counts[100:].sum()
    assert found["saturated_fraction"].value == np.mean(counts[100:] >= 3000)
    mask[counts >= 3000] = True
    assert Totals(saturation=3000.0)(frame(data, mask=mask), {}, ())["saturated_fraction"].value == 0.0


@pytest.mark.parametrize(
    ("data", "unit", "says"),
    [
        (np.full(2000, np.nan), "counts", "2000 of 2000 points are not finite numbers"),
        (np.full(2000, 1e300), "counts", "not finite numbers"),
        (np.ones(5), "counts", "only 5 points"),
        (np.ones(2000), "arb", "the data are in 'arb'"),
    ],
)
def test_what_cannot_be_measured_says_why(data: np.ndarray, unit: str, says: str) -> None:
    found = Totals()(frame(data, unit), {}, ())
    assert all(f.value is None and says in f.why for f in found.values())


def test_dead_frames_have_a_total_but_no_ratio() -> None:
    found = Totals()(frame(np.zeros(2000, dtype=np.uint32)), {}, ())
    assert found["total"].value == 0.0
    assert found["snr"].value is None
    assert "no noise" in found["snr"].why


def test_an_impossible_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="name"):
        Totals(name="My Totals")
