"""The phase network and the fit on patterns unlike those of the training: they name nothing that is not there."""

import numpy as np
import pytest

from insitu.features import candidates
from insitu.features.xrd_phases import Phases
from insitu.maths.diffraction.library import LIBRARY
from insitu.types import Feature
from tests import unseen_patterns as unseen

pytest.importorskip("gemmi")


def test_no_wrong_phase_is_named_in_patterns_of_other_instruments_and_samples() -> None:
    """`make prove` tries every condition."""
    some = ("molybdenum", "zero off by -0.5 deg", "6 nm, hump, zero", "scaled to 1", "half and half")
    found = unseen.share(7, 1, some)
    assert (found["candidates"], found["strangers"], found["alikes"]) == (5, 5, 5)
    assert found["candidate_wrong"] + found["stranger_wrong"] == 0
    assert found["candidate_first_right"] >= 4


@pytest.mark.parametrize("how", ["scaled to 1", "background taken off"])
def test_a_pattern_that_is_no_counts_any_more_is_still_read(how: str) -> None:
    label, wrong, right = unseen.tried(unseen.CONDITIONS[how], 3)
    assert (label, wrong, right) == ("normal", False, True)


def test_what_fits_only_the_flanks_of_strong_lines_is_no_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zero off by half a degree: platinum was taken before the zero was found, and stayed with no evidence left."""
    monkeypatch.setattr(candidates, "LIBRARY", {n: LIBRARY[n] for n in ("strontium_titanate", "platinum")})
    fit = Phases(library=True, strain=0.01)
    (titanate,) = (one for one in unseen.candidates() if one.phase.name == "strontium_titanate")
    for seed in (0, 3):
        frame = unseen.pattern([titanate], unseen.CONDITIONS["zero off by -0.5 deg"], np.random.default_rng(seed))
        shares = {k: f.value for k, f in fit(frame, {}, ()).items() if k.endswith("_share")}
        assert shares == {"phase_strontium_titanate_share": 1.0, "phase_platinum_share": 0.0}


def test_the_lattice_of_the_phase_that_is_furthest_off_is_told() -> None:
    fit = unseen.extractors()[1]
    (silicon,) = (one for one in unseen.candidates() if one.phase.name == "silicon")
    for strain in (0.0, 0.004):
        frame = unseen.pattern([silicon], unseen.Measured(strain=strain), np.random.default_rng(1))
        told = fit(frame, {}, ())["phase_strain"]
        assert isinstance(told, Feature)
        assert told.value is not None
        assert abs(told.value) == pytest.approx(strain, abs=2e-5)
