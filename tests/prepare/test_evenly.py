import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.xrd import Peaks
from insitu.maths.peaks.profiles import pseudo_voigt
from insitu.prepare.evenly import Evenly
from insitu.types import Feature, Frame


def deg(value: float | None) -> Feature:
    return Feature(value, "deg", why="" if value is not None else "not measured")


def test_a_pattern_without_angles_gets_them_and_its_peak_is_found() -> None:
    data = pseudo_voigt(np.linspace(20.0, 40.0, 2001), 28.4427, 0.1, 0.4, 500.0) + 20.0
    bare = Frame(source="det", data=data, dims=("x",), unit="counts", time_ns=0, seq=0, n=0)
    prepared = Evenly(dim="two_theta", start=deg(20.0), step=deg(0.01))(bare, {})
    assert (prepared.dims, list(prepared.axes)) == (("two_theta",), ["two_theta"])
    found = Peaks(windows=[(28.0, 29.0)])(prepared, {}, ())
    assert found["peak1_position"].value == pytest.approx(28.4427, abs=1e-3)


def test_an_axis_that_was_there_gives_way_and_others_stay() -> None:
    bare = Frame(source="det", data=np.zeros((2, 3)), dims=("channel", "x"), unit="counts", time_ns=0, seq=0, n=0)
    once = Evenly(dim="energy", start=Feature(8000, "eV"), step=Feature(1, "eV"))(bare, {})
    twice = Evenly(dim="energy", start=Feature(9000, "eV"), step=Feature(2, "eV"))(once, {})
    assert twice.dims == ("channel", "energy")
    assert twice.axes["energy"].values.tolist() == [9000.0, 9002.0, 9004.0]
    assert list(twice.axes) == ["energy"]


@pytest.mark.parametrize(
    ("start", "step", "where"),
    [
        (deg(1), deg(0), "step"),
        (deg(1), deg(-1), "step"),
        (deg(1), Feature(1, "eV"), "step"),
        (deg(None), deg(1), "start"),
    ],
)
def test_impossible_axes_are_refused(start: Feature, step: Feature, where: str) -> None:
    with pytest.raises(ConfigError) as e:
        Evenly(dim="two_theta", start=start, step=step)
    assert e.value.where == where
