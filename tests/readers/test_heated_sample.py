"""The expected pattern between nodes against one computed exactly, and the number of patterns kept."""

import numpy as np
import pytest

from insitu.maths.diffraction.phases import phases
from insitu.maths.diffraction.powder import Width, powder_lines, profile
from insitu.readers import heated_sample
from insitu.readers.heated_sample import Geometry, HeatedSample

X = np.linspace(20.0, 60.95, 4096)


def exact(temperature: float) -> np.ndarray:
    total = np.zeros(len(X))
    for phase in phases("batio3", temperature):
        lines = powder_lines(phase.structure(temperature), 1.5406, X[-1] + heated_sample.BEYOND_DEG)
        total += phase.fraction * profile(X, lines.two_theta, lines.area, Width())
    return total


@pytest.mark.parametrize("temperature", [320.0, 337.5, 392.4, 396.5, 430.5])
def test_between_nodes_the_pattern_is_exact_to_a_thousandth_of_its_strongest_line(temperature):
    sample = HeatedSample("batio3", X, 1.5406, 393.0, Width())
    expected = exact(temperature)
    assert np.abs(sample.curve(temperature, Geometry()) - expected).max() < 1e-3 * expected.max()


def test_at_a_node_the_pattern_is_exact():
    sample = HeatedSample("batio3", X, 1.5406, 393.0, Width())
    np.testing.assert_allclose(sample.curve(393.0, Geometry()), exact(393.0), rtol=1e-12)


def test_a_pattern_does_not_depend_on_what_was_asked_before(monkeypatch):
    monkeypatch.setattr(heated_sample, "KEPT", 3)
    sample = HeatedSample("batio3", X, 1.5406, 393.0, Width())
    fresh = HeatedSample("batio3", X, 1.5406, 393.0, Width()).curve(340.4, Geometry())
    for temperature in (320.2, 330.2, 340.4, 350.1, 360.6):
        sample.curve(temperature, Geometry(zero_deg=0.01))
    np.testing.assert_array_equal(sample.curve(340.4, Geometry()), fresh)
    assert len(sample._rows) <= 3


def test_peaks_beyond_the_axis_are_not_among_the_true_ones():
    peaks = HeatedSample("batio3", X, 1.5406, 393.0, Width()).peaks(320.0, Geometry(zero_deg=-2.2), 1.0)
    assert all(20.0 <= peak.two_theta <= 60.95 for peak in peaks)
    assert next(peak.hkl for peak in peaks) == (1, 0, 0)  # (001) has left the axis
