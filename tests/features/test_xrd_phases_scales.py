from types import SimpleNamespace

import numpy as np
import pytest

from insitu.features.xrd_phases import _parts


@pytest.mark.filterwarnings("error")
def test_a_phase_that_later_ones_left_nothing_has_no_part_and_is_no_error() -> None:
    """Found first, and fitted away by what was found after it: its scale is 0, and 0/0 is no uncertainty."""
    fit = SimpleNamespace(
        covariance=np.array([[1.0, 0.0], [0.0, 0.0]]),
        chi2=1.0,
        parts=(SimpleNamespace(scale=10.0), SimpleNamespace(scale=0.0)),
    )
    found = SimpleNamespace(fit=fit, order=(3, 5))
    parts = _parts(found, [1.0] * 6, np.array([10.0, 0.0]))  # type: ignore[arg-type]
    assert parts == {3: (1.0, 0.0), 5: (0.0, 0.0)}
